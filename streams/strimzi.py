"""The topics and the users of Kafka as Strimzi's resources, with the rights that the wiring asks for and no others."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streams.letters.turn import GROUP as LETTERS
from streams.provisioning import desired
from streams.runtime.segments import Segment
from streams.settings import Settings
from streams.tail import GROUP as TAIL
from streams.topics import ANSWERS, CANCELLATIONS, DOCUMENTS, LETTERS_SETTLED, TOPICS
from streams.wiring import Pipeline

CLUSTER = "headwater"
"""The Kafka resource that these belong to."""
API = "kafka.strimzi.io/v1beta2"
OWN_ANSWERS = ANSWERS.name + "-"
"""What the names of callers' own reply topics begin with, where rights are given by these rules."""
MADE = "# Made from {} by `make docs`; change that.\n"

Operation = Literal["Read", "Write", "Delete", "Describe", "DescribeConfigs"]


@dataclass(frozen=True, slots=True)
class Rule:
    """Something that a user may do. Reading, writing and deleting include describing."""

    kind: Literal["topic", "group"]
    name: str
    operations: tuple[Operation, ...]
    prefix: bool = False
    """It is about all names that begin so, and `why` says why."""
    why: str = ""


_TAIL = Rule("group", TAIL, ("Describe",), why="asked for its coordinator by whoever reads outside a group")
_LETTERS = Rule("group", LETTERS, ("Describe",), why=_TAIL.why)


def topics() -> str:
    """A KafkaTopic for each topic and dead-letter topic, with as many replicas as the brokers' default says."""
    return MADE.format("streams/topics.py") + "---\n".join(
        _head("KafkaTopic", spec.name)
        + f"spec:\n  partitions: {spec.partitions}\n  config:\n"
        + "".join(f"    {name}: {value}\n" for name, value in sorted(spec.config.items()))
        for spec in desired(Settings())
    )


def users(segments: Sequence[Segment]) -> str:
    """A KafkaUser for each segment's workers, for callers, operators and backups. Its Secret has the same name."""
    return MADE.format("the wiring (streams/pipelines.py, streams/strimzi.py)") + "---\n".join(
        _head("KafkaUser", name)
        + "spec:\n  authentication: {type: scram-sha-512}\n  authorization:\n    type: simple\n    acls:\n"
        + "".join(map(_acl, rules))
        for name, rules in rights(segments).items()
    )


def rights(segments: Sequence[Segment]) -> Mapping[str, Sequence[Rule]]:
    """What each user may do."""
    pipelines = list({segment.pipeline.name: segment.pipeline for segment in segments}.values())
    return {
        **{segment.group(""): list(_worker(segment)) for segment in segments},
        f"{CLUSTER}-client": list(_client(pipelines)),
        # `headwater backup save` and `restore`: whoever saves every night may change nothing.
        f"{CLUSTER}-backup": [Rule("topic", DOCUMENTS.name, ("Read",)), _LETTERS],
        f"{CLUSTER}-restore": [Rule("topic", DOCUMENTS.name, ("Write",))],
        f"{CLUSTER}-operator": list(_operator(segments)),
    }


def _worker(segment: Segment) -> Iterator[Rule]:
    yield Rule("group", segment.group(""), ("Read",))
    yield Rule("topic", segment.source.name, ("Read",))
    sinks = {segment.stages[-1].sink.name, segment.pipeline.failures.name}
    letters = {stage.source.dead_letter_name for stage in segment.stages}
    yield from (Rule("topic", name, ("Write",)) for name in sorted(sinks | letters))
    if segment.answers:
        why = "reply topics that callers make for themselves, of whose names nobody here knows more"
        yield Rule("topic", OWN_ANSWERS, ("Write",), prefix=True, why=why)
        yield Rule("topic", CANCELLATIONS.name, ("Read",))
        yield _TAIL


def _client(pipelines: Sequence[Pipeline]) -> Iterator[Rule]:
    asked = [*(pipeline.stages[0].source.name for pipeline in pipelines), CANCELLATIONS.name]
    yield from (Rule("topic", name, ("Write",)) for name in asked)
    yield from (Rule("topic", pipeline.failures.name, ("Read",)) for pipeline in pipelines)
    yield _TAIL


def _operator(segments: Sequence[Segment]) -> Iterator[Rule]:
    """`headwater topics plan`, `status` and `dlq`. Topics are created and changed by Strimzi alone."""
    replayed = {stage.source.name for segment in segments for stage in segment.stages}
    for topic in TOPICS:
        writes: tuple[Operation, ...] = ("Write",) if topic.name in replayed else ("Describe",)
        yield Rule("topic", topic.name, (*writes, "DescribeConfigs"))
        if topic.dead_letters:
            yield Rule("topic", topic.dead_letter_name, ("Read", "Delete", "DescribeConfigs"))
    yield Rule("topic", LETTERS_SETTLED, ("Read", "Write", "DescribeConfigs"))
    yield Rule("group", LETTERS, ("Read",))
    yield from (Rule("group", segment.group(""), ("Describe",)) for segment in segments)


def _head(kind: str, name: str) -> str:
    return f"apiVersion: {API}\nkind: {kind}\nmetadata:\n  name: {name}\n  labels: {{strimzi.io/cluster: {CLUSTER}}}\n"


def _acl(rule: Rule) -> str:
    pattern = "prefix" if rule.prefix else "literal"
    why = f"      # {rule.why[:1].upper()}{rule.why[1:]}.\n" if rule.why else ""
    return (
        f"{why}      - resource: {{type: {rule.kind}, name: {rule.name}, patternType: {pattern}}}\n"
        f"        operations: [{', '.join(rule.operations)}]\n"
    )
