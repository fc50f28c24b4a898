"""Segments: which stages run in one process with calls between them instead of topics."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas import Event
from streams.wiring import Pipeline, Stage, Topic


class SegmentError(ValueError):
    """A segmentation or a list of stages does not fit the pipeline; the message says what would."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Adjacent stages of a pipeline behind one topic, in one consumer group."""

    pipeline: Pipeline
    stages: tuple[Stage, ...]

    @property
    def source(self) -> Topic[Event]:
        return self.stages[0].source

    @property
    def name(self) -> str:
        """The names of its stages, joined by dashes."""
        return "-".join(stage.name for stage in self.stages)

    @property
    def answers(self) -> bool:
        """Whether it works on questions, whose askers wait; or on documents."""
        return self.pipeline.failures.replies

    def group(self, prefix: str) -> str:
        """The consumer group of every worker that hosts this segment."""
        return f"{prefix}headwater-{self.name}"


def segments(pipeline: Pipeline, segmentation: str) -> tuple[Segment, ...]:
    """The segments that `segmentation` cuts the pipeline into: `|` is a topic, `+` is a call."""
    named = [[name.strip() for name in part.split("+")] for part in segmentation.split("|")]
    expected = [stage.name for stage in pipeline.stages]
    if [name for part in named for name in part] != expected:
        raise SegmentError(
            f"{pipeline.name} segments {segmentation!r} must name {', '.join(expected)} in this order, each once, "
            f"with | or + between them, as in {'|'.join(expected)!r}"
        )
    by_name = {stage.name: stage for stage in pipeline.stages}
    cut = tuple(Segment(pipeline, tuple(by_name[name] for name in part)) for part in named)
    for segment in cut:
        _check(segment)
    return cut


def hosted(all_segments: Sequence[Segment], stages: Sequence[str]) -> tuple[Segment, ...]:
    """The segments that hold these stages; empty `stages`: all of them."""
    known = [stage.name for segment in all_segments for stage in segment.stages]
    unknown = [name for name in stages if name not in known]
    if unknown:
        raise SegmentError(f"no stage {', '.join(map(repr, unknown))}; stages are {', '.join(known)}")
    if not stages:
        return tuple(all_segments)
    chosen = [segment for segment in all_segments if any(stage.name in stages for stage in segment.stages)]
    for segment in chosen:
        missing = [stage.name for stage in segment.stages if stage.name not in stages]
        if missing:
            raise SegmentError(
                f"the settings fuse {'+'.join(stage.name for stage in segment.stages)}: "
                f"host {', '.join(missing)} too, or put | between them in {segment.pipeline.name}_segments"
            )
    return tuple(chosen)


def _check(segment: Segment) -> None:
    for stage in segment.stages:
        if not stage.source.dead_letters:
            raise SegmentError(f"stage {stage.name!r} reads {stage.source.name!r}, which has no dead-letter topic")
    for one, two in zip(segment.stages, segment.stages[1:], strict=False):
        if one.sink is not two.source:
            raise SegmentError(f"{one.name}+{two.name}: {two.name!r} does not read what {one.name!r} writes")
