"""Offsets beside a naive model that remembers everything: commits never pass what is unfinished, nor a new owner."""

from collections import defaultdict
from collections.abc import Mapping

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.runtime.offsets import Offsets, Partition

PARTITIONS = (("t", 0), ("t", 1))
WHICH = st.sampled_from(PARTITIONS)


class Model(RuleBasedStateMachine):
    """Records are read, finished, read again and read late, while partitions come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.offsets = Offsets()
        self.records: dict[tuple[Partition, int], dict[int, bool]] = defaultdict(dict)
        """By partition and generation: each started offset, and whether it is finished."""
        self.owner: dict[Partition, int] = {}
        """The newest generation of which anything started, unless it was revoked."""
        self.revoked: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.on_its_way: Mapping[Partition, int] = {}

    @rule(partition=WHICH, generation=st.integers(0, 4), offset=st.integers(0, 12))
    def read(self, partition: Partition, generation: int, offset: int) -> None:
        news = generation > self.revoked.get(partition, -1)
        if news and partition in self.owner:
            known = self.records[partition, self.owner[partition]]
            newer = generation > self.owner[partition]
            news = newer or (generation == self.owner[partition] and offset > max(known, default=-1))
        assert self.offsets.start(partition, offset, generation) is news
        if news:
            if self.owner.get(partition) != generation:
                self.records[partition, generation].clear()
                self.committed[partition] = -1
            self.owner[partition] = generation
            self.records[partition, generation][offset] = False

    @precondition(lambda self: any(self.records.values()))
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        """Whoever began it ends it, whether the partition is still its own or not."""
        started = [(key, offset) for key, known in self.records.items() for offset, done in known.items() if not done]
        if started:
            (partition, generation), offset = data.draw(st.sampled_from(started))
            self.offsets.finish(partition, offset, generation)
            self.records[partition, generation][offset] = True

    @rule(partition=WHICH)
    def revoke(self, partition: Partition) -> None:
        self.offsets.revoke(partition)
        if partition in self.owner:
            self.revoked[partition] = self.owner.pop(partition)

    @rule(generation=st.integers(0, 4))
    def begin_to_commit(self, generation: int) -> None:
        self.on_its_way = self.offsets.due(generation)

    @rule()
    def the_broker_has_taken_it(self) -> None:
        """Perhaps after the partition has gone."""
        self.offsets.committed(self.on_its_way)
        self.committed.update({each: at for each, at in self.on_its_way.items() if each in self.owner})
        self.on_its_way = {}

    @invariant()
    def only_what_is_finished_without_a_gap_is_due(self) -> None:
        for generation in range(5):
            due = {
                partition: position
                for partition, owner in self.owner.items()
                if owner == generation and (position := self.position(partition)) > self.committed[partition]
            }
            assert self.offsets.due(generation) == due

    @invariant()
    def what_is_in_flight_is_what_a_restart_would_read_again(self) -> None:
        left = 0
        for partition, owner in self.owner.items():
            left += sum(offset >= self.position(partition) for offset in self.records[partition, owner])
        assert self.offsets.in_flight() == left

    @invariant()
    def only_the_newest_generation_owns_a_partition(self) -> None:
        for partition in PARTITIONS:
            for generation in range(5):
                assert self.offsets.owns(partition, generation) is (self.owner.get(partition) == generation)

    def position(self, partition: Partition) -> int:
        """Behind the finished records before the first that is not."""
        position = -1
        for offset, done in sorted(self.records[partition, self.owner[partition]].items()):
            if not done:
                break
            position = offset + 1
        return position


Model.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestOffsets = Model.TestCase
