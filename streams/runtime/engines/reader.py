"""The thread behind a consumer group of librdkafka: it polls whatever the work does, and says what it read."""

import asyncio
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from streams.runtime.errors import Fatal
from streams.runtime.offsets import Partition

log = logging.getLogger("headwater.runtime")

POLL_S = 0.2
"""How long a stop, or a commit, may take to be noticed; records arrive at once."""
BATCH = 100
"""Records that the thread hands over at a time, and at most as many more wait for the window."""
BATCH_BYTES = 8 * 2**20
"""The same, of their values: a hundred of the largest records would be more than many a container has."""
PATIENCE_S = 0.1
"""A paused partition loses what was fetched ahead of it, so a window that is full for a moment is waited for."""
LET_GO_S = 10.0
"""How long the event loop may take to say how far it came before the group gets no commit from us."""
REFUSED_S, REFUSED_EVERY_S = 120.0, 30.0
"""A member that the group knows no more joins again within seconds, and commits. One of which no commit is taken for so
long, while every so often one is refused, does the same work again and again: it had better start anew."""
DISOWNED = frozenset((KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID))
"""How a commit is refused of a member that the group knows no more."""
NEVER = float("-inf")
HOPELESS = frozenset(
    (
        # How a consumer that is lost for good reports it, in a message whose error does not call itself fatal: another
        # one has taken its instance id, say.
        KafkaError._FATAL,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    )
)
"""What does not pass by waiting."""

Options = Mapping[str, str | int | bool]
"""Client properties in librdkafka's names."""

DEFAULTS: Options = {
    "auto.offset.reset": "earliest",
    "client.id": "headwater",
    # The default is a second, in which an idle window waits for records that the broker has.
    "fetch.queue.backoff.ms": 10,
    "fetch.error.backoff.ms": 100,
    "heartbeat.interval.ms": 1_000,
    "log_level": 3,
    # Fetched ahead of the window, per group; the defaults are 100,000 records and 64 MB.
    "queued.min.messages": 1_000,
    "queued.max.messages.kbytes": 16_384,
    # How long partitions stay dark after a kill -9; the default is 45 s.
    "session.timeout.ms": 10_000,
    "socket.nagle.disable": True,
}
OWN: Options = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "partition.assignment.strategy": "cooperative-sticky",
}
"""What the guarantees rest on."""


class Keeper(Protocol):
    """What a reader's thread tells its group, on the event loop and in this order."""

    def assigned(self, partitions: Sequence[Partition]) -> None: ...

    def take(self, messages: Sequence[Message]) -> None: ...

    async def let_go(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """What of these partitions is finished; nothing of it counts from then on."""
        ...

    def committed(self, positions: Mapping[Partition, int]) -> None: ...


class Reader:
    """The thread that owns the consumer: it alone polls, pauses and commits."""

    def __init__(self, config: Options, topic: str, group: str, keeper: Keeper) -> None:
        own = {"group.id": group, "on_commit": self._on_commit, "error_cb": _note, **OWN}
        try:
            self._consumer = Consumer({**DEFAULTS, **config, **own}, logger=log)
        except KafkaException as error:
            raise ValueError(f"the setting 'kafka_options' cannot work: {error.args[0].str()}") from error
        self._topic = topic
        self._keeper = keeper
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._held = False
        self._paused: set[Partition] = set()
        self._room = threading.Event()
        self._handed = self._handed_bytes = 0
        self._taken = self._taken_bytes = 0
        self._wanted: Mapping[Partition, int] = {}
        self._refused_from = self._refused_to = NEVER
        """The first and the last refusal of a commit since one was taken."""
        self.came_round_at = time.monotonic()
        """When the thread last began to read or to wait, for neither of which it takes a second."""

    def run(self) -> None:
        """Read until `stop`, then leave the group. Raises Fatal."""
        try:
            self._consumer.subscribe(
                [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
            )
            while not self._stopping:
                self.came_round_at = time.monotonic()
                self._commit()
                if self._has_room():
                    self._resume()
                    self._read(POLL_S)
                else:
                    self._pause()
                    self._read(0)
        except KafkaException as error:
            raise Fatal("broker-lost", error.args[0].str()) from error
        finally:
            self._consumer.close()

    def hold(self) -> None:
        """Read nothing more, but stay in the group. Thread-safe, as is all that follows."""
        self._held = True

    def stop(self) -> None:
        self._stopping = True
        self._room.set()

    def took(self, message: Message) -> None:
        """It is in the window, or not wanted any more."""
        self._taken += 1
        self._taken_bytes += len(message)
        if not (self._is_ahead() or self._room.is_set()):
            self._room.set()

    def want(self, positions: Mapping[Partition, int]) -> None:
        """Commit these positions soon, unless their partitions go first."""
        self._wanted = positions

    def _has_room(self) -> bool:
        self._room.clear()
        if self._held or self._is_ahead():
            return self._room.wait(PATIENCE_S) and not self._held
        return True

    def _is_ahead(self) -> bool:
        return self._handed - self._taken >= BATCH or self._handed_bytes - self._taken_bytes >= BATCH_BYTES

    def _read(self, timeout_s: float) -> None:
        """Hand over what is there, or the first record to come within the time."""
        first = self._consumer.poll(timeout_s)
        if first is None:
            return
        # Calling once per record would ask for the interpreter's lock as often, which a busy loop lends every 5 ms.
        # What a rebalance in the middle makes stale is taken out of the batch by librdkafka.
        messages = [first, *self._consumer.consume(BATCH - 1, 0)]
        for message in messages:
            if (error := message.error()) is not None:
                _note(error)
        good = [message for message in messages if message.error() is None]
        self._handed += len(good)
        self._handed_bytes += sum(map(len, good))
        self._loop.call_soon_threadsafe(self._keeper.take, good)

    def _pause(self) -> None:
        """All that is assigned, which may be more by now than a moment ago."""
        running = [each for each in self._consumer.assignment() if (each.topic, each.partition) not in self._paused]
        if running:
            self._consumer.pause(running)
            self._paused.update(_names(running))

    def _resume(self) -> None:
        if self._paused:
            self._consumer.resume(self._consumer.assignment())
            self._paused.clear()

    def _commit(self) -> None:
        wanted, self._wanted = self._wanted, {}
        if wanted:
            self._write_down(wanted, asynchronous=True)

    def _write_down(self, positions: Mapping[Partition, int], *, asynchronous: bool) -> None:
        """Commit. What the broker does not take is done again by whoever owns it."""
        offsets = [TopicPartition(topic, partition, position) for (topic, partition), position in positions.items()]
        try:
            if asynchronous:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            else:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            log.warning("not committed", extra={"topic": self._topic, "reason": error.args[0].str()})

    def _on_commit(self, error: KafkaError | None, offsets: list[TopicPartition]) -> None:
        if error is not None:
            _note(error, "not committed")
            self._refuse(error)
        taken = {(each.topic, each.partition): each.offset for each in offsets if each.error is None}
        if error is None and taken:
            self._refused_to = NEVER
            self._loop.call_soon_threadsafe(self._keeper.committed, taken)

    def _refuse(self, error: KafkaError) -> None:
        if error.code() not in DISOWNED:
            return
        now = time.monotonic()
        if now - self._refused_to > REFUSED_EVERY_S:
            self._refused_from = now
        self._refused_to = now
        if now - self._refused_from > REFUSED_S:
            raise Fatal(
                "commits-refused",
                f"the group takes no commit of {self._topic!r} any more ({error.str()}): what was done since the last "
                "one is done again",
            )

    def _on_assign(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._loop.call_soon_threadsafe(self._keeper.assigned, _names(partitions))

    def _on_revoke(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        if positions := self._let_go(partitions):
            self._write_down(positions, asynchronous=False)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        """Somebody else may own these already: their commits count, not ours."""
        log.warning(
            "partitions lost", extra={"topic": self._topic, "partitions": [each.partition for each in partitions]}
        )
        self._let_go(partitions)

    def _let_go(self, partitions: list[TopicPartition]) -> Mapping[Partition, int]:
        asked = asyncio.run_coroutine_threadsafe(self._keeper.let_go(_names(partitions)), self._loop)
        try:
            positions = asked.result(LET_GO_S)
        except TimeoutError as error:
            asked.cancel()
            raise Fatal(
                "loop-stuck",
                f"{LET_GO_S:.0f} s were not enough to say how far {self._topic!r} is worked off: something blocks the "
                "event loop; its partitions are read again from the last commit",
            ) from error
        self._wanted = {}  # wanted before, it might name partitions that are gone
        if paused := [each for each in partitions if (each.topic, each.partition) in self._paused]:
            self._consumer.resume(paused)  # else librdkafka, which remembers it, would read none of who comes again
            self._paused.difference_update(_names(paused))
        return positions


def _note(error: KafkaError, what: str = "broker") -> None:
    """Raises Fatal for what does not pass by waiting."""
    if error.fatal() or error.code() in HOPELESS:
        raise Fatal("broker-lost", error.str())
    log.warning(what, extra={"reason": error.str()})


def _names(partitions: Iterable[TopicPartition]) -> Sequence[Partition]:
    return [(each.topic, each.partition) for each in partitions]
