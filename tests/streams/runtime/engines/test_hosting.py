"""An engine's end is that of all its groups, whatever befalls one of them."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from confluent_kafka import Message, TopicPartition

from streams.runtime.engines import reader
from streams.runtime.engines.hosting import Engine, Group, OnError
from streams.runtime.engines.reader import Reader
from streams.runtime.errors import Fatal
from streams.runtime.intake import Intake
from streams.runtime.offsets import Partition
from streams.runtime.records import Record


class Leaver(Group):
    """Leaves after a while, or cannot."""

    left = False

    async def start(self) -> None:
        pass

    async def commit(self) -> None:
        pass

    async def leave(self) -> None:
        if self.name == "broken":
            raise Fatal("broker-lost", "its consumer crashed")
        await asyncio.sleep(0.01)
        self.left = True

    def silent_s(self) -> float:
        return 0.0


class Leavers(Engine):
    def __init__(self) -> None:
        super().__init__(max_events=1, max_bytes=1)
        self.made: list[Leaver] = []

    def group(self, name: str, topic: str, intake: Intake, on_error: OnError) -> Group:
        self.made.append(Leaver(name, intake))
        return self.made[-1]


async def handle(_: Record) -> None:
    pass


async def test_a_group_that_cannot_leave_keeps_no_other_from_leaving() -> None:
    engine, stop = Leavers(), asyncio.Event()
    for name in ("broken", "good"):
        engine.host(name, "documents", handle)
    with pytest.raises(Fatal, match="its consumer crashed"):
        await engine.run(stop, on_ready=stop.set)
    assert [group.left for group in engine.made] == [False, True]


class Blocked:
    """A group on an event loop that answers nothing."""

    def assigned(self, partitions: Sequence[Partition]) -> None: ...

    def take(self, messages: Sequence[Message]) -> None: ...

    async def let_go(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        await asyncio.Event().wait()
        return {}

    def committed(self, positions: Mapping[Partition, int]) -> None: ...


async def test_partitions_that_go_while_the_loop_is_stuck_end_the_worker_with_the_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "LET_GO_S", 0.05)
    own = Reader({"bootstrap.servers": "127.0.0.1:1", "log_level": 0}, "documents", "readers", Blocked())
    with pytest.raises(Fatal, match="loop-stuck"):
        await asyncio.to_thread(own._let_go, [TopicPartition("documents", 0)])
    own._consumer.close()
