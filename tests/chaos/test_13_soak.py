"""13. Soak: a million small events through the worker leave no more memory in use than a hundred thousand did."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from schemas import DocumentDeleted, DocumentId, Tenant, encode
from streams import provisioning
from streams.local import tether
from streams.runtime.headers import outgoing
from streams.settings import Settings
from streams.topics import DOCUMENTS, RECEIPTS
from tests.chaos.checker import Verdict
from tests.chaos.memory_slope import MIB, Slope, resident_bytes
from tests.chaos.report import Report
from tests.chaos.scenario import Figure, Outcome

pytestmark = pytest.mark.stack
QUICK_ENGINES = ("faust",)

TENANTS = 500
AHEAD = 20_000
"""Events that wait at most: more would only fill the broker's disk."""
BATCH = 1_000
SILENCE_S = 60.0
"""Without a receipt for so long, the worker stands still."""
MIB_PER_100K = 1.0
"""What the project promises."""
LENIENT_MIB_PER_100K = 60.0
"""Of a run so short that allocators still find their size: a leak of 600 bytes per event, and no smaller one, fails."""


@dataclass(slots=True)
class Soak:
    """Deletions of documents, each another one, and the receipts that come back."""

    settings: Settings
    events: int
    published: int = 0
    received: int = 0
    """Documents that have a receipt."""
    repeats: int = 0
    seen: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.seen = bytearray(self.events)

    def run(self, slope: Slope, process: subprocess.Popen[bytes]) -> None:
        """Until every event has its receipt, or none comes any more."""
        config = self.settings.kafka_config
        producer = Producer({**config, "enable.idempotence": True, "linger.ms": 5, "compression.type": "lz4"})
        reading = {**config, "group.id": "soak", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        with closing(Consumer(reading)) as receipts:
            topic = self.settings.topic_prefix + RECEIPTS.name
            receipts.assign([TopicPartition(topic, partition, 0) for partition in range(RECEIPTS.partitions)])
            heard_at = time.monotonic()
            while self.received < self.events and time.monotonic() < heard_at + SILENCE_S:
                assert process.poll() is None, f"the worker ended with {process.returncode}"
                if self.published < min(self.events, self.received + AHEAD):
                    self._publish(producer)
                if self._receive(receipts):
                    heard_at = time.monotonic()
                slope.look(self.received)
        producer.flush(30)

    def _publish(self, producer: Producer) -> None:
        for _ in range(min(BATCH, self.events - self.published)):
            event = DocumentDeleted(
                tenant=Tenant(f"tenant{self.published % TENANTS}"),
                document_id=DocumentId(f"doc{self.published}"),
                version=1,
                published_at=datetime.now(UTC),
            )
            headers: list[tuple[str, str | bytes | None]] = [
                *outgoing(event, event_id=f"{self.published}", source="/soak", time=event.published_at)
            ]
            topic = self.settings.topic_prefix + DOCUMENTS.name
            producer.produce(topic, encode(event), event.key.encode(), headers=headers)
            self.published += 1
        producer.poll(0)

    def _receive(self, receipts: Consumer) -> bool:
        messages = receipts.consume(BATCH, 0.05)
        for message in messages:
            key = message.key()
            assert isinstance(key, bytes)
            number = int(key.rpartition(b"doc")[2])
            self.repeats += self.seen[number]
            self.received += not self.seen[number]
            self.seen[number] = 1
        return bool(messages)


@contextmanager
def soaked(settings: Settings, log: Path, *program: str) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a worker."""
    command = [sys.executable, tether.__file__, str(os.getpid()), sys.executable, "-m", *program]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | settings.environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


@contextmanager
def own_topics(stack: Settings, engine: str) -> Iterator[Settings]:
    """Settings with topics that are gone afterwards."""
    own = {"topic_prefix": f"soak{uuid.uuid4().hex[:6]}-", "ingest_segments": "chunk+embed+upsert", "engine": engine}
    settings = stack.model_copy(update={"kafka": stack.kafka_url, **own})
    provisioning.apply(settings)
    try:
        yield settings
    finally:
        topics = [spec.name for spec in provisioning.desired(settings)]
        admin = AdminClient({**settings.kafka_config})
        for deleted in admin.delete_topics(topics).values():
            deleted.result()


def outcome(soak: Soak, slope: Slope, *, seed: int, at_most: float, took_s: float) -> Outcome:
    lost = [f"doc{number}" for number, seen in enumerate(soak.seen) if not seen]
    verdict = Verdict(unanswered=tuple(lost))
    figures = {
        f"memory slope after {slope.warm_up:,} events": Figure(
            value=slope.mib_per_100k, unit="MB per 100,000 events", at_most=at_most
        ),
        "most memory in use": Figure(value=slope.peak_mib, unit="MB"),
        "throughput": Figure(value=soak.received / took_s, unit="events/s"),
    }
    return Outcome(
        scenario=f"soak, {soak.events:,} events",
        number=13,
        seed=seed,
        engine=soak.settings.engine,
        verdict=verdict,
        faults=int(soak.received > 0),  # the load itself
        events=soak.events,
        questions=0,
        repeats=soak.repeats,
        changed=0,
        took_s=took_s,
        figures=figures,
        story=f"soak of {soak.events:,}, {soak.settings.engine}: {verdict}\nMB by events: {slope}",
    )


def soak(
    stack: Settings, engine: str, folder: Path, *, events: int, warm_up: int, at_most: float, seed: int
) -> Outcome:
    began = time.monotonic()
    with own_topics(stack, engine) as settings, soaked(settings, folder / "worker.log", "tests.chaos.soak") as process:
        running = Soak(settings, events)
        slope = Slope(process.pid, warm_up=warm_up, every=max(500, events // 400))
        running.run(slope, process)
        assert resident_bytes(process.pid) > MIB, "the worker is not the process that was looked at"
        return outcome(running, slope, seed=seed, at_most=at_most, took_s=time.monotonic() - began)


def test_memory_stays_where_it_was_over_many_small_events(
    stack: Settings, seed: int, engine: str, tmp_path: Path, report: Report
) -> None:
    found = soak(stack, engine, tmp_path, events=20_000, warm_up=10_000, at_most=LENIENT_MIB_PER_100K, seed=seed)
    report.judge(found)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
def test_memory_stays_where_it_was_over_a_million_small_events(
    stack: Settings, engine: str, tmp_path: Path, report: Report
) -> None:
    found = soak(stack, engine, tmp_path, events=1_000_000, warm_up=100_000, at_most=MIB_PER_100K, seed=0)
    report.judge(found)
