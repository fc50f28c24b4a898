"""Whatever befalls events in whichever stage: each ends as done, or as exactly one letter that can be replayed."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import Poison, Transient
from schemas import ChunksEmbedded, ChunksExtracted, DocumentIndexed, DocumentRejected
from streams.letters.letter import original
from streams.runtime.breaker import Breaker
from tests.streams.runtime.wiring import PREFIX, Bench, dlq, document, embed, ingest, upsert

FATES = ("good", "embed-poison", "embed-bug", "embed-busy", "upsert-poison", "upsert-bug", "upsert-busy")
LETTERS = {"embed": "chunks", "upsert": "vectors"}
SEGMENTATIONS = ("chunk|embed|upsert", "chunk+embed|upsert", "chunk|embed+upsert", "chunk+embed+upsert")


def fated(stage: str, do: Callable[[Any], Awaitable[Sequence[Any]]], busy: set[str]) -> Any:
    """A processor that does to each word what the word says; a service that is busy works at the second attempt."""

    async def process(event: ChunksExtracted | ChunksEmbedded) -> Sequence[Any]:
        word = event.chunks[0].text
        if word == f"{stage}-poison":
            raise Poison("odd", "odd")
        if word == f"{stage}-bug":
            raise KeyError("oops")
        attempt = f"{stage} {event.document.document_id} {event.slice}"
        if word == f"{stage}-busy" and attempt not in busy:
            busy.add(attempt)
            raise Transient("busy")
        return await do(event)

    return process


@settings(max_examples=60)
@given(
    st.lists(st.one_of(st.none(), st.lists(st.sampled_from(FATES), min_size=1, max_size=4)), max_size=8),
    st.sampled_from(SEGMENTATIONS),
)
def test_each_event_ends_once(documents: Sequence[Sequence[str] | None], segmentation: str) -> None:
    asyncio.run(ends_once(documents, segmentation))


async def ends_once(documents: Sequence[Sequence[str] | None], segmentation: str) -> None:
    """None: a record that is no event."""
    busy: set[str] = set()
    pipeline = ingest(embed=fated("embed", embed, busy), upsert=fated("upsert", upsert, busy))
    patient = Breaker(max_bugs=10_000, max_unproven=10_000, max_ratio=1.0, stops_at_poison=False)
    bench = Bench(pipeline, segmentation, breaker=patient)
    for number, words in enumerate(documents):
        if words is None:
            await bench.write(f"{PREFIX}documents", b"{not json", key=f"t/d{number}".encode())
        else:
            await bench.publish(document(f"d{number}", " ".join(words)))
    await bench.engine.run()

    expected: Counter[tuple[str, str, str]] = Counter()
    done: Counter[str] = Counter()
    for number, words in enumerate(documents):
        if words is None:
            expected["documents", f"t/d{number}", "schema"] += 1
        for word in words or ():
            stage, _, fate = word.partition("-")
            if fate in {"poison", "bug"}:
                expected[LETTERS[stage], f"t/d{number}", "odd" if fate == "poison" else "bug"] += 1
            else:
                done[f"t/d{number}"] += 1
    letters = [(topic, letter) for topic in ("documents", "chunks", "vectors") for letter in bench.letters(topic)]
    found = Counter((topic, (letter.key or b"").decode(), dlq(letter)["dlq-code"]) for topic, letter in letters)
    assert found == expected
    said = [each.event for each in bench.said("receipts")]
    assert Counter(each.key for each in said if isinstance(each, DocumentIndexed)) == done
    told = sum(isinstance(each, DocumentRejected) for each in said)
    assert told == sum(times for (topic, _, _), times in expected.items() if topic != "documents")
    assert all(dict(bench.broker.commits[segment.group(PREFIX)]) for segment in bench.segments[:1] if documents)
    assert not [name for _, letter in letters for name, _ in original(letter) if name.startswith("dlq-")]
