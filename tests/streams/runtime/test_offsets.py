"""Only what is finished without a gap is committed, and only by the generation that owns it."""

import random
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from streams.runtime.offsets import Offsets

TP = ("topic", 0)


@given(
    st.lists(st.integers(0, 1000), unique=True, min_size=1, max_size=60).map(sorted),
    st.randoms(use_true_random=False),
    st.data(),
)
def test_the_position_never_passes_an_unfinished_record(
    offsets: Sequence[int], order: random.Random, data: st.DataObject
) -> None:
    tracker = Offsets()
    for offset in offsets:
        assert tracker.start(TP, offset, 1)
    finishing = list(offsets)
    order.shuffle(finishing)
    unfinished = set(offsets)
    for offset in finishing[: data.draw(st.integers(0, len(finishing)))]:
        tracker.finish(TP, offset, 1)
        unfinished.discard(offset)
        position = tracker.due(1).get(TP, -1)
        assert all(position <= left for left in unfinished)
        finished_prefix = [each for each in offsets if each < min(unfinished, default=2000)]
        assert position == (finished_prefix[-1] + 1 if finished_prefix else -1)
    assert tracker.in_flight() <= len(offsets)


def test_a_newer_generation_starts_anew_and_the_older_one_is_ignored() -> None:
    tracker = Offsets()
    tracker.start(TP, 5, 1)
    tracker.start(TP, 3, 2)
    tracker.finish(TP, 5, 1)
    assert not tracker.due(1)
    assert not tracker.due(2)
    assert not tracker.start(TP, 6, 1)
    assert not tracker.owns(TP, 1)
    tracker.finish(TP, 3, 2)
    assert tracker.due(2) == {TP: 4}


def test_a_record_read_twice_in_one_generation_is_handled_once() -> None:
    tracker = Offsets()
    assert tracker.start(TP, 1, 1)
    assert not tracker.start(TP, 1, 1)


def test_what_is_committed_is_due_no_more() -> None:
    tracker = Offsets()
    tracker.start(TP, 1, 1)
    tracker.finish(TP, 1, 1)
    tracker.committed(tracker.due(1))
    assert not tracker.due(1)


def test_what_was_read_before_a_partition_went_does_not_start_after_it() -> None:
    tracker = Offsets()
    assert tracker.start(TP, 1, 1)
    tracker.revoke(TP)
    assert not tracker.start(TP, 2, 1)
    assert tracker.start(TP, 1, 2)
