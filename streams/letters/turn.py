"""Whose turn it is: one command at a time settles letters."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, TopicPartition

from streams.tail import BrokerUnreachable
from streams.topics import LETTERS_SETTLED

GROUP = "headwater-letters"
"""After the deployment's prefix."""
SESSION_MS = 6_000
"""How long a command that was killed keeps the others waiting; brokers take no less by default."""
TOLD_S = 4.0
"""A group without members is assigned after three seconds by default: until then nobody need be in the way."""

DENIED = frozenset((KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.TOPIC_AUTHORIZATION_FAILED))


class TurnLost(ConnectionError):
    """Another command may be at work, because the broker had not heard of this one for too long."""

    def __init__(self) -> None:
        super().__init__(
            f"out of touch with the broker for {SESSION_MS / 1000:.0f} s, so another `headwater dlq` may have the "
            "turn; what was not settled is still open: run it again"
        )


class Turn:
    """Held by whoever is assigned the only partition of the topic of marks, in a consumer group.

    Others wait until it leaves, or until the broker has not heard of it for `SESSION_MS`.
    """

    def __init__(self, config: Mapping[str, str], prefix: str, *, on_wait: Callable[[], None]) -> None:
        self._config = dict(config)
        self._topic = prefix + LETTERS_SETTLED
        self._group = prefix + GROUP
        self._on_wait = on_wait
        self._held = threading.Event()
        self._problem: ConnectionError | None = None
        self._over = threading.Event()

    async def __aenter__(self) -> Self:
        """Returns when it is our turn. Raises BrokerUnreachable."""
        self._thread = threading.Thread(target=self._run, name="headwater-turn", daemon=True)
        self._thread.start()
        try:
            await self._come()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._end()

    def check(self) -> None:
        """Raises TurnLost where it may be another's turn by now."""
        if not self._held.is_set():
            raise TurnLost

    async def _come(self) -> None:
        begun, told = time.monotonic(), False
        while not self._held.is_set():
            if self._problem is not None:
                raise self._problem
            if not told and time.monotonic() - begun > TOLD_S:
                self._on_wait()
                told = True
            await asyncio.sleep(0.02)

    async def _end(self) -> None:
        self._over.set()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        options: dict[str, object] = {
            **self._config,
            "group.id": self._group,
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",  # who has it keeps it when others come
            "session.timeout.ms": SESSION_MS,
            "heartbeat.interval.ms": 1_000,
            "error_cb": self._note,
            "log_level": 2,  # connection trouble is raised, not printed
        }
        with closing(Consumer(options)) as consumer:
            consumer.subscribe([self._topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)
            while not self._over.is_set():
                message = consumer.poll(0.05)
                if message is not None and (error := message.error()) is not None:
                    self._note(error)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if partitions:
            consumer.pause(partitions)  # what is noted there is read elsewhere, from its beginning
            self._held.set()

    def _gone(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._held.clear()
        consumer.incremental_unassign(partitions)

    def _note(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._problem = BrokerUnreachable(self._config["bootstrap.servers"])
        elif error.code() in DENIED:
            self._problem = ConnectionError(f"the broker does not let us into the group {self._group!r}: {error.str()}")
