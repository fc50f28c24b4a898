"""Follow partitions from a position on, outside any consumer group."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.runtime.messages import record
from streams.runtime.records import Record

log = logging.getLogger("headwater.tail")

CONNECT_S = 4.0
"""A broker on the network answers in milliseconds; a person should not wait longer to learn that there is none."""
POLL_S = 0.05
"""How long a stop may take to be noticed; records arrive at once."""
GROUP = "headwater-tail"
"""Demanded by the library; nothing joins or commits."""
UNSETTLED = frozenset((KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE))

AWAY = frozenset((KafkaError._TRANSPORT, KafkaError._TIMED_OUT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE))


class BrokerUnreachable(ConnectionError):
    """No Kafka broker answers at the address that the settings name."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"no Kafka broker answers at {address}; start the local stack with `headwater up`, "
            "or name your own with --kafka HOST:PORT"
        )


class TopicMissing(ConnectionError):
    """The broker has no such topic."""

    def __init__(self, topic: str, address: str) -> None:
        super().__init__(f"topic {topic!r} is not on the broker at {address}; `headwater topics apply` creates it")


Deliver = Callable[[Sequence[Record]], None]
Pick = Callable[[Sequence[int]], Sequence[int]]


class Tail:
    """Every record that arrives in some partitions of a topic after `open`, in batches, on the event loop.

    `open` resolves where the partitions end now; reading starts with `follow` and begins exactly there, however
    much later that is. One thread per tail does all that blocks; it ends with `close`.
    """

    def __init__(self, config: Mapping[str, str], topic: str, *, pick: Pick = tuple) -> None:
        self._address = config["bootstrap.servers"]
        self._config: dict[str, str | int] = {
            **config,
            "group.id": GROUP,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "log_level": 2,  # connection trouble is raised, not printed
        }
        self._topic = topic
        self._pick = pick
        self._lock = asyncio.Lock()
        self._partitions: Sequence[int] | None = None
        self._deliver: Deliver | None = None
        self._following = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    async def open(self) -> Sequence[int]:
        """Resolve, once, where reading starts; which partitions. Raises BrokerUnreachable, TopicMissing."""
        async with self._lock:
            if self._partitions is None:
                self._partitions = await self._start()
            return self._partitions

    def follow(self, deliver: Deliver) -> None:
        """Start to deliver; harmless when repeated."""
        self._deliver = deliver
        self._following.set()

    async def close(self) -> None:
        """Stop the thread; harmless when repeated."""
        self._stopping.set()
        self._following.set()
        if self._thread is not None:
            await self._ended.wait()
            self._thread.join()
            self._thread = None

    async def _start(self) -> Sequence[int]:
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[Sequence[int]] = loop.create_future()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(loop, ready), name=f"tail-{self._topic}", daemon=True)
        self._thread.start()
        try:
            return await ready
        except BaseException:
            await self.close()
            self._following.clear()
            self._stopping.clear()
            raise

    def _run(self, loop: asyncio.AbstractEventLoop, ready: "asyncio.Future[Sequence[int]]") -> None:
        def settle(positions: Sequence[TopicPartition], error: Exception | None) -> None:
            if ready.done():
                if error is not None and not self._stopping.is_set():
                    log.error("tail lost", extra={"topic": self._topic, "reason": str(error)})
            elif error is not None:
                ready.set_exception(error)
            else:
                ready.set_result([position.partition for position in positions])

        try:
            with closing(Consumer(self._config)) as consumer:
                positions = self._positions(consumer)
                loop.call_soon_threadsafe(settle, positions, None)
                self._following.wait()
                consumer.assign(positions)
                while not self._stopping.is_set():
                    self._poll(consumer, loop)
        except (KafkaException, ConnectionError) as error:
            loop.call_soon_threadsafe(settle, (), translated(error, self._address))
        finally:
            loop.call_soon_threadsafe(self._ended.set)

    def _positions(self, consumer: Consumer) -> list[TopicPartition]:
        topic = consumer.list_topics(self._topic, timeout=CONNECT_S).topics[self._topic]
        if topic.error is not None or not topic.partitions:
            raise TopicMissing(self._topic, self._address)
        return [
            TopicPartition(
                self._topic, partition, bounds(consumer, self._topic, partition, pause=self._stopping.wait)[1]
            )
            for partition in self._pick(sorted(topic.partitions))
        ]

    def _poll(self, consumer: Consumer, loop: asyncio.AbstractEventLoop) -> None:
        first = consumer.poll(POLL_S)
        if first is None:
            return
        batch = [first, *consumer.consume(500, timeout=0)]
        arrived = [record(message) for message in batch if message.error() is None]
        if arrived and self._deliver is not None:
            loop.call_soon_threadsafe(self._deliver, arrived)


def bounds(
    consumer: Consumer, topic: str, partition: int, *, pause: Callable[[float], object] = time.sleep
) -> tuple[int, int]:
    """The first offset that is still there, and the next one to be written. Raises KafkaException."""
    until = time.monotonic() + CONNECT_S
    while True:
        try:
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=CONNECT_S)
        except KafkaException as error:
            # A topic that was created a moment ago, or whose leader moves, settles within milliseconds.
            if error.args[0].code() not in UNSETTLED or time.monotonic() > until:
                raise
            pause(POLL_S)
        else:
            return first, end


def translated(error: Exception, address: str) -> Exception:
    """BrokerUnreachable for the errors that mean it; any other as it is."""
    if isinstance(error, KafkaException) and error.args[0].code() in AWAY:
        return BrokerUnreachable(address)
    return error
