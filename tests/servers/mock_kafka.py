"""A broker that says what a test wants to hear: librdkafka's mock cluster, which its wheel carries.

with MockKafka() as broker:
    broker.topic("documents", partitions=4)
    broker.fail(PRODUCE, KafkaError.NOT_ENOUGH_REPLICAS, times=3)
    ...
    assert not broker.pending(PRODUCE)   # all three were heard by somebody

It keeps 5 MiB a partition, has no topic administration, checks no sequence of an idempotent producer, and wakes no
fetch that waits: never take a time from it. See https://github.com/confluentinc/librdkafka (src/rdkafka_mock.h).
"""

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
OFFSET_COMMIT, OFFSET_FETCH, FIND_COORDINATOR = 8, 9, 10
JOIN_GROUP, HEARTBEAT, LEAVE_GROUP, SYNC_GROUP, INIT_PRODUCER_ID = 11, 12, 13, 14, 22
"""Kinds of requests, by Kafka's numbers."""

BROKER = 1
"""The number of the only broker."""
PRODUCER = 0


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
    [path] = folder.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    pointer, text, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t
    number, small, error = ctypes.c_int32, ctypes.c_int16, ctypes.c_int
    signatures = {
        "conf_new": (pointer,),
        "conf_set": (error, pointer, text, text, text, size),
        "new": (pointer, ctypes.c_int, pointer, text, size),
        "destroy": (None, pointer),
        "mock_cluster_new": (pointer, pointer, ctypes.c_int),
        "mock_cluster_destroy": (None, pointer),
        "mock_cluster_bootstraps": (text, pointer),
        "mock_group_initial_rebalance_delay_ms": (None, pointer, number),
        "mock_topic_create": (error, pointer, text, ctypes.c_int, ctypes.c_int),
        "mock_topic_delete": (error, pointer, text),
        "mock_topic_set_error": (None, pointer, text, error),
        "mock_broker_set_down": (error, pointer, number),
        "mock_broker_set_up": (error, pointer, number),
        "mock_broker_error_stack_cnt": (error, pointer, number, small, ctypes.POINTER(size)),
    }
    for name, (result, *arguments) in signatures.items():
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    # Without types for what follows the count, as C sees it.
    library.rd_kafka_mock_broker_push_request_error_rtts.argtypes = [pointer, number, small, size]
    return library


class MockKafka:
    """One broker of one test, in its process, on a free port of 127.0.0.1 while its context lasts."""

    def __init__(self) -> None:
        self._library = _library()

    def __enter__(self) -> Self:
        said = ctypes.create_string_buffer(512)
        options = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(options, b"log_level", b"0", said, len(said))
        self._client = self._library.rd_kafka_new(PRODUCER, options, said, len(said))
        assert self._client, said.value
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    @property
    def address(self) -> str:
        bootstraps: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return bootstraps.decode()

    def topic(self, name: str, *, partitions: int) -> None:
        self._check(self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1))

    def deny(self, topic: str, error: int) -> None:
        """Say this of a topic whenever it is asked about; 0: no more."""
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

    def fail(self, api: int, error: int, *, times: int = 1, after_ms: int = 0) -> None:
        """Answer the next requests of this kind by an error, which is counted as heard when its answer leaves.

        `_TRANSPORT` hangs up instead; 0 does what is asked and answers late, which with a client that waits less,
        or with `down` meanwhile, is a lost acknowledgement.
        """
        pairs = [ctypes.c_int(each) for _ in range(times) for each in (error, after_ms)]
        push = self._library.rd_kafka_mock_broker_push_request_error_rtts
        self._check(push(self._cluster, BROKER, api, times, *pairs))

    def pending(self, api: int) -> int:
        """Errors that nobody has heard yet."""
        count = ctypes.c_size_t()
        self._check(self._library.rd_kafka_mock_broker_error_stack_cnt(self._cluster, BROKER, api, ctypes.byref(count)))
        return count.value

    def down(self) -> None:
        """Hang up and refuse."""
        self._check(self._library.rd_kafka_mock_broker_set_down(self._cluster, BROKER))

    def up(self) -> None:
        self._check(self._library.rd_kafka_mock_broker_set_up(self._cluster, BROKER))

    def _check(self, error: int) -> None:
        assert not error, f"the mock cluster says {error}"
