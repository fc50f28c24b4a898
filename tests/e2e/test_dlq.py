"""A dead letter's life: put aside, replayed in vain, its cause mended, replayed, indexed, and never replayed again."""

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from confluent_kafka import Producer

from schemas import Claim, DocumentId, DocumentIndexed, DocumentPublished, Tenant, decode, encode
from streams.letters.kafka import KafkaLog
from streams.runtime.headers import Incoming
from streams.runtime.records import Record
from streams.settings import Settings
from streams.topics import RECEIPTS
from tests.e2e.conftest import PATIENCE_S
from tests.streams.cli.conftest import Run, run

__all__ = ["run"]

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240), pytest.mark.usefixtures("workers")]

TEXT = b"Every employee has thirty days of annual leave per year."
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def dlq(run: Run, deployment: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """What `headwater dlq ... --json` says."""
    for name, value in deployment.environment.items():
        monkeypatch.setenv(name, value)

    def said(*arguments: str) -> Any:
        result = run("dlq", *arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return said


def test_a_document_whose_content_was_missing_is_indexed_by_a_replay(
    deployment: Settings, tenant: str, dlq: Callable[..., Any]
) -> None:
    event = unstored(deployment, tenant)
    produce(deployment, event)
    mine = ("--document", event.key)

    first = opened(dlq, mine)
    assert (first["code"], first["history"], first["trace"]) == ("claim-missing", [], TRACE)

    assert dlq("replay", *mine)["topics"] == {"documents": 1}
    second = opened(dlq, mine)
    assert dlq("replay", *mine)["topics"] == {"documents": 1}
    third = opened(dlq, mine)
    assert [failure["time"] for failure in third["history"]] == [first["time"], second["time"]]
    assert {failure["code"] for failure in third["history"]} == {"claim-missing"}
    assert third["trace"] == TRACE

    store(event)
    assert dlq("replay", *mine)["topics"] == {"documents": 1}
    receipt = until(lambda: indexed(deployment, event))
    assert receipt.chunks == 1

    assert dlq("replay", *mine)["replayed"] == []
    again = dlq("replay", third["id"])
    assert (again["replayed"], [each["id"] for each in again["already"]]) == ([], [third["id"]])
    sent = [record for record in records(deployment, "documents") if record.key == event.key.encode()]
    assert len(sent) == 4
    assert len({record.value for record in sent}) == 1
    assert {dict(record.headers)["traceparent"] for record in sent} == {f"00-{TRACE}-00f067aa0ba902b7-01".encode()}
    assert dlq("list", *mine)["letters"] == []


def opened(dlq: Callable[..., Any], mine: tuple[str, str]) -> Any:
    """The letter that is open, once there is one."""
    return until(lambda: next(iter(dlq("list", *mine)["letters"]), None))


def until(found: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while (value := found()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return value


def unstored(deployment: Settings, tenant: str) -> DocumentPublished:
    """A document that claims to lie in the store, and does not."""
    sha256 = hashlib.sha256(TEXT + tenant.encode()).hexdigest()
    return DocumentPublished(
        tenant=Tenant(tenant),
        document_id=DocumentId("leave.txt"),
        version=1,
        published_at=datetime.now(UTC),
        source=Claim(
            uri=f"{deployment.objects_url}/{sha256[:2]}/{sha256}",
            sha256=sha256,
            size_bytes=len(TEXT) + len(tenant),
        ),
        media_type="text/plain",
    )


def store(event: DocumentPublished) -> None:
    assert isinstance(event.source, Claim)
    path = Path(unquote(urlsplit(event.source.uri).path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(TEXT + event.tenant.encode())


def produce(deployment: Settings, event: DocumentPublished) -> None:
    headers: dict[str, str | bytes | None] = {
        "ce_type": event.ce_type,
        "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01",
    }
    producer = Producer({**deployment.kafka_config, "partitioner": "murmur2_random"})
    producer.produce(f"{deployment.topic_prefix}documents", encode(event), key=event.key, headers=headers)
    assert producer.flush(10) == 0


def records(deployment: Settings, topic: str) -> list[Record]:
    log = KafkaLog(deployment.kafka_config, deployment.topic_prefix)
    with closing(log.scan(log.starts([topic]))) as found:
        return list(found)


def indexed(deployment: Settings, event: DocumentPublished) -> DocumentIndexed | None:
    """The only receipt that says so."""
    mine = [
        decode(record.value, Incoming.of(record.headers).ce_type, RECEIPTS.events)
        for record in records(deployment, RECEIPTS.name)
        if record.key == event.key.encode()
    ]
    good = [receipt for receipt in mine if isinstance(receipt, DocumentIndexed)]
    assert len(good) <= 1
    return good[0] if good else None
