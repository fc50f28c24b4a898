"""Segmentations: what they cut, and what they say when they do not fit."""

import pytest

from streams.runtime.segments import SegmentError, hosted, segments
from tests.streams.runtime.wiring import ingest


@pytest.mark.parametrize(
    ("segmentation", "groups"),
    [
        ("chunk|embed|upsert", ["p.headwater-chunk", "p.headwater-embed", "p.headwater-upsert"]),
        ("chunk|embed+upsert", ["p.headwater-chunk", "p.headwater-embed-upsert"]),
        (" chunk + embed + upsert ", ["p.headwater-chunk-embed-upsert"]),
    ],
)
def test_a_segment_is_a_consumer_group(segmentation: str, groups: list[str]) -> None:
    assert [segment.group("p.") for segment in segments(ingest(), segmentation)] == groups


@pytest.mark.parametrize("wrong", ["", "chunk", "chunk|upsert|embed", "chunk|embed||upsert", "chunk|embed|upsert|x"])
def test_a_wrong_segmentation_is_told_the_right_order(wrong: str) -> None:
    with pytest.raises(SegmentError, match=r"must name chunk, embed, upsert in this order"):
        segments(ingest(), wrong)


def test_stages_are_hosted_alone_or_together() -> None:
    cut = segments(ingest(), "chunk|embed|upsert")
    assert [segment.name for segment in hosted(cut, ["embed"])] == ["embed"]
    assert [segment.name for segment in hosted(cut, ["upsert", "embed"])] == ["embed", "upsert"]
    assert hosted(cut, []) == cut


def test_an_unknown_stage_is_told_the_known_ones() -> None:
    with pytest.raises(SegmentError, match=r"no stage 'embd'; stages are chunk, embed, upsert"):
        hosted(segments(ingest(), "chunk|embed|upsert"), ["embd"])


def test_half_of_a_fused_segment_is_told_the_other_half() -> None:
    with pytest.raises(SegmentError, match=r"fuse embed\+upsert: host upsert too, or put \| between them"):
        hosted(segments(ingest(), "chunk|embed+upsert"), ["embed"])
