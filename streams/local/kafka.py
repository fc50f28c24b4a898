"""The broker: genuine Apache Kafka in KRaft mode, one node."""

import base64
import subprocess
import uuid
from pathlib import Path

from streams.local.errors import PartFailed
from streams.local.jars import class_path
from streams.local.java import find_java
from streams.local.parts import Part
from streams.provisioning import DEAD_LETTER_MAX_BYTES
from streams.settings import Settings

HEAP = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""340 MB resident and 1.8 s to start, measured; the defaults take a gigabyte."""
LOGGING = tuple(
    f"-Dorg.slf4j.simpleLogger.{option}"
    for option in ("defaultLogLevel=warn", "showDateTime=true", "dateTimeFormat=yyyy-MM-dd HH:mm:ss,SSS")
)
SESSION_MS = 4000
"""After a kill -9 the node may not register again before its former session has ended; 9 s by default."""

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=4
message.max.bytes={max_bytes}
replica.fetch.max.bytes={max_bytes}
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.retention.bytes=268435456
log.cleaner.dedupe.buffer.size=4194304
broker.session.timeout.ms={session_ms}
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
background.threads=2
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=2
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


def broker(settings: Settings, jars: Path) -> Part:
    """The broker part; its jars must be in the folder `jars`."""
    home = settings.home.resolve() / "kafka"
    properties = home / "server.properties"
    java = [*HEAP, *LOGGING, "-cp", class_path(jars)]

    def prepare() -> None:
        home.mkdir(parents=True, exist_ok=True)
        properties.write_text(_properties(settings, home / "data"))
        if not (home / "data" / "meta.properties").exists():
            _format([str(find_java()), *java], properties)

    return Part(
        name="kafka",
        command=lambda: [str(find_java()), *java, "kafka.Kafka", str(properties)],
        prepare=prepare,
        probe=lambda: answers(f"127.0.0.1:{settings.local.kafka_port}"),
        port=settings.local.kafka_port,
        port_setting="local.kafka_port",
    )


def _properties(settings: Settings, data: Path) -> str:
    return PROPERTIES.format(
        port=settings.local.kafka_port,
        controller=settings.local.kafka_controller_port,
        data=data,
        max_bytes=DEAD_LETTER_MAX_BYTES,
        session_ms=SESSION_MS,
    )


def _format(java: list[str], properties: Path) -> None:
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
    # In one word: one id in 64 begins with a dash, which would be taken for an option.
    command = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if result.returncode:
        said = (result.stderr or result.stdout).strip().splitlines()[-5:]
        raise PartFailed("kafka", f"cannot format {properties.parent / 'data'}: " + " | ".join(said))


def answers(servers: str, timeout_s: float = 1.0) -> bool:
    """Whether a broker answers a metadata request."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    # log_level 0: while the broker starts, refused connections are no news.
    admin = AdminClient({"bootstrap.servers": servers, "log_level": 0, "socket.timeout.ms": 1000})
    try:
        return bool(admin.list_topics(timeout=timeout_s).brokers)
    except KafkaException:
        return False
