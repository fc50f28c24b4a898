"""The producer: confluent's own, idempotent, behind a poll thread, with deliveries that can be awaited."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from processors.errors import Poison
from streams.runtime.errors import NotAllowed
from streams.runtime.records import Outgoing

log = logging.getLogger("headwater.producer")

LINGER_MS = 0
"""Measured over four hops: half a millisecond of waiting for company costs four and saves no CPU; bursts share
requests all the same, because records queue up behind the request under way."""
DELIVERY_TIMEOUT_MS = 120_000
"""How long the broker may be away before a worker gives up and starts anew."""
FRESH_S = 1.0
"""How old an answer about a partition that does not exist may be: its caller may be creating it."""
KNOWN_S = 300.0
"""How old an answer about one that exists may be; where it has gone since, the delivery says so."""
METADATA_TIMEOUT_S = 5.0
NEVER = float("-inf")
FULL_S = 0.005
"""Between two attempts to hand over a record while librdkafka's buffer is full."""

BY_KEY = -1
"""librdkafka's word for: let the partitioner choose."""
UNKNOWN = frozenset((KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, KafkaError.UNKNOWN_TOPIC_OR_PART))
TOO_LARGE = frozenset((KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE))


class KafkaBroker:
    """A `Broker` on Kafka. `open` and `close` on the event loop that sends."""

    def __init__(self, config: Mapping[str, str | int], *, max_record_bytes: int) -> None:
        self._config: dict[str, str | int] = {
            "client.id": "headwater",
            "enable.idempotence": True,
            "compression.type": "lz4",
            "linger.ms": LINGER_MS,
            "delivery.timeout.ms": DELIVERY_TIMEOUT_MS,
            "message.max.bytes": max_record_bytes,
            # The partitioner of Java clients, so that producers in any language agree where a key lives.
            "partitioner": "murmur2_random",
            "log_level": 3,
            **config,
        }
        self._partitions: dict[str, int] = {}
        self._asked_at = NEVER
        self._absent: dict[str, float] = {}
        self._outgoing: deque[tuple[Outgoing, asyncio.Future[None]]] = deque()
        """Sent, and not yet with librdkafka."""
        self._room = asyncio.Event()
        """In librdkafka's buffer, as far as is known."""
        self._room.set()
        self._closing = threading.Event()

    async def open(self) -> None:
        """Raises ConnectionError where the client refuses its options."""
        self._loop = asyncio.get_running_loop()
        try:
            self._producer = Producer(self._config, logger=log)
        except KafkaException as error:
            raise ConnectionError(f"the setting 'kafka_options' cannot work: {error.args[0].str()}") from error
        self._refreshing = asyncio.Lock()
        self._thread = threading.Thread(target=self._poll, name="headwater-producer", daemon=True)
        self._thread.start()

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Give what is queued a last chance, then stop."""
        self._produce()
        await asyncio.to_thread(self._producer.flush, timeout_s)
        self._closing.set()
        await asyncio.to_thread(self._thread.join)

    async def send(self, record: Outgoing) -> Awaitable[None]:
        await self._room.wait()
        delivery: asyncio.Future[None] = self._loop.create_future()
        # Nobody may be left to await a delivery whose record failed for another reason.
        delivery.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not self._outgoing:
            self._loop.call_soon(self._produce)
        self._outgoing.append((record, delivery))
        return delivery

    async def reaches(self, topic: str, partition: int) -> bool:
        if self._knows(topic, partition) and time.monotonic() - self._asked_at < KNOWN_S:
            return True
        async with self._refreshing:
            if not self._knows(topic, partition) and time.monotonic() - self._absent.get(topic, NEVER) < FRESH_S:
                return False
            try:
                await self.partitions()
            except ConnectionError:
                return True  # nobody can tell now; the delivery will
        if not self._knows(topic, partition):
            self._absent[topic] = time.monotonic()
        return self._knows(topic, partition)

    async def partitions(self) -> Mapping[str, int]:
        """How many partitions each topic has, now. Raises ConnectionError."""
        self._partitions = await asyncio.to_thread(self._list)
        self._asked_at = time.monotonic()
        self._absent = {name: at for name, at in self._absent.items() if self._asked_at - at < FRESH_S}
        return self._partitions

    def _produce(self) -> None:
        """Hand over all that was sent in this turn of the loop, so that it goes in one request."""
        while self._outgoing:
            record, delivery = self._outgoing[0]
            try:
                self._producer.produce(
                    record.topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    on_delivery=self._delivered(record, delivery),
                    partition=BY_KEY if record.partition is None else record.partition,
                )
            except BufferError:
                self._room.clear()
                self._loop.call_later(FULL_S, self._produce)
                return
            except KafkaException as error:
                _settle(delivery, error.args[0], record)
            except Exception as error:  # a bug, and its record's alone
                if not delivery.done():
                    delivery.set_exception(error)
            self._outgoing.popleft()
        self._room.set()

    def _delivered(
        self, record: Outgoing, delivery: asyncio.Future[None]
    ) -> Callable[[KafkaError | None, Message], None]:
        def tell(error: KafkaError | None, _: Message) -> None:
            self._loop.call_soon_threadsafe(_settle, delivery, error, record)

        return tell

    def _knows(self, topic: str, partition: int) -> bool:
        return partition < self._partitions.get(topic, 0)

    def _list(self) -> dict[str, int]:
        try:
            # All of them: asking for one topic by name would create it on brokers that create topics on demand.
            topics = self._producer.list_topics(timeout=METADATA_TIMEOUT_S).topics
        except KafkaException as error:
            raise ConnectionError(f"no broker answers at {self._config['bootstrap.servers']}: {error}") from error
        return {name: len(about.partitions) for name, about in topics.items()}

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(0.5)
            except KafkaException as error:
                # Fatal, and told once: to stop here would leave whoever waits for a delivery waiting for ever. By
                # polling on, what is under way fails, as does all that is sent from now on, and the worker ends.
                log.critical("producer lost", extra={"reason": error.args[0].str()})


def _settle(delivery: asyncio.Future[None], error: KafkaError | None, record: Outgoing) -> None:
    if delivery.done():
        return
    if error is None:
        delivery.set_result(None)
    elif error.code() in TOO_LARGE:
        size = len(record.value or b"")
        detail = f"{size} bytes for {record.topic!r} are more than the broker takes: {error.str()}"
        delivery.set_exception(Poison("record-too-large", detail))
    elif error.code() in UNKNOWN:
        where = f"topic {record.topic!r} partition {record.partition}"
        delivery.set_exception(Poison("unknown-partition", f"{where} does not exist"))
    elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
        delivery.set_exception(NotAllowed(f"{record.topic!r} is not ours to write: {error.str()}"))
    else:
        delivery.set_exception(ConnectionError(f"{record.topic!r} was not written: {error.str()}"))
