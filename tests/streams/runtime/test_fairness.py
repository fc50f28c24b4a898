"""One tenant's import delays another's document by what is in work and a turn at each stage, not by what waits."""

from dataclasses import replace

import pytest

from schemas import DocumentIndexed, DocumentPublished, Tenant
from streams.runtime.engines.memory import MemoryEngine
from tests.streams.runtime.wiring import PREFIX, Bench, document, handler, ingest

IMPORTED = 1_000
WINDOW = 16


def imported(number: int) -> DocumentPublished:
    return replace(document(f"d{number}"), tenant=Tenant("a"))


def bench_of(segmentation: str) -> Bench:
    bench = Bench(ingest(), segmentation)
    bench.engine = MemoryEngine(bench.broker, max_events=WINDOW)
    for segment in bench.segments:
        each = handler(segment, bench.broker, bench.clock, bench)
        bench.engine.host(segment.group(PREFIX), PREFIX + segment.source.name, each)
    return bench


@pytest.mark.parametrize("segmentation", ["chunk|embed|upsert", "chunk|embed+upsert", "chunk+embed+upsert"])
async def test_a_document_amid_another_tenant_s_import_is_among_the_first(segmentation: str) -> None:
    bench = bench_of(segmentation)
    await bench.publish(*(imported(number) for number in range(IMPORTED // 2)))
    await bench.publish(replace(document("mine"), tenant=Tenant("b")))
    await bench.publish(*(imported(number) for number in range(IMPORTED // 2, IMPORTED)))
    order: list[str] = []
    send = bench.broker.send

    async def noting(record):  # type: ignore[no-untyped-def]
        if record.topic == f"{PREFIX}receipts":
            order.append(record.key.decode())
        return await send(record)

    bench.broker.send = noting  # type: ignore[method-assign]
    await bench.engine.run()
    stages = len(bench.segments)
    slices = 2
    assert len(order) == slices * (IMPORTED + 1)
    assert order.index("b/mine") <= slices * stages * WINDOW


async def test_an_import_is_known_as_one_at_every_stage() -> None:
    bench = bench_of("chunk|embed|upsert")
    await bench.publish(document("of-many"), headers={"hw-lane": b"bulk"})
    await bench.publish(document("one"))
    await bench.engine.run()
    for topic in ("chunks", "vectors", "receipts"):
        lanes = {
            (said.record.key, said.headers.get("hw-lane"), said.headers["ce_tenant"]) for said in bench.said(topic)
        }
        assert lanes == {(b"t/of-many", "bulk", "t"), (b"t/one", None, "t")}
    receipts = [said.event for said in bench.said("receipts")]
    assert all(isinstance(receipt, DocumentIndexed) for receipt in receipts)
