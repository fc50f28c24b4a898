"""Numbers and shapes that no Milvus should answer, put into its real answers."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from processors.backends.milvus.index import MilvusIndex
from processors.embed import Embed
from processors.errors import Transient
from schemas import ChunksEmbedded, Passage, text_hash
from tests.processors.happenings import ACME, slices
from tests.processors.hashed_words import HashedWords
from tests.processors.index_contract import HANDBOOK, find, publish
from tests.servers.grpc_faults import GrpcFaults

pytestmark = pytest.mark.stack

MODEL = HashedWords().model
Change = Callable[[Any], None]


def changed(kind: Any, change: Change) -> Callable[[bytes], bytes]:
    """Makes of a real message of this kind another one."""

    def make(message: bytes) -> bytes:
        answer = kind.FromString(message)
        change(answer)
        return bytes(answer.SerializeToString())

    return make


def vectors(answer: Any) -> Any:
    """Where the answer, a search's or a query's, holds its vectors."""
    columns = getattr(answer, "results", answer).fields_data
    return next((column.vectors for column in columns if column.field_name == "dense"), None)


def poisoned(number: float) -> Change:
    def change(answer: Any) -> None:
        if found := vectors(answer):
            found.float_vector.data[3] = number

    return change


def halved(answer: Any) -> None:
    if found := vectors(answer):
        found.dim //= 2
        del found.float_vector.data[found.dim :]


def scored(number: float) -> Change:
    def change(answer: Any) -> None:
        answer.results.scores[0] = number

    return change


def without(field: str) -> Change:
    def change(answer: Any) -> None:
        columns = getattr(answer, "results", answer).fields_data
        kept = [column for column in columns if column.field_name != field]
        del columns[:]
        columns.extend(kept)

    return change


def more_hits_than_scores(answer: Any) -> None:
    answer.results.topks[0] += 1


SEARCHES: dict[str, tuple[Change, str]] = {
    "a score that is no number": (scored(math.nan), "not finite"),
    "an infinite score": (scored(math.inf), "not finite"),
    "a vector with NaN": (poisoned(math.nan), "not finite"),
    "an infinite vector": (poisoned(-math.inf), "not finite"),
    "vectors of another length": (halved, "a vector of 32 numbers in place of 64"),
    "no text": (without("text"), "rows without 'text'"),
    "more hits than scores": (more_hits_than_scores, "Unexpected error"),
}


@pytest.mark.parametrize(("change", "says"), SEARCHES.values(), ids=SEARCHES)
async def test_a_search_that_answers_nonsense_is_an_outage_that_names_the_server(
    proxied: MilvusIndex, way: GrpcFaults, change: Change, says: str
) -> None:
    way.faults["HybridSearch"] = changed(milvus_pb2.SearchResults, change)
    with pytest.raises(Transient, match=f"milvus at http://{way.address}.*{says}"):
        await find(proxied, "pump")
    way.faults.clear()
    assert texts(await find(proxied, "pump")) == ["a red pump"]


async def test_heads_without_what_decides_are_an_outage(proxied: MilvusIndex, way: GrpcFaults) -> None:
    way.faults["Query"] = changed(milvus_pb2.QueryResults, without("rows_version"))
    for ask in (lambda: find(proxied, "pump"), lambda: proxied.head(ACME, HANDBOOK)):
        with pytest.raises(Transient, match=f"{way.address}: gave rows without 'rows_version'"):
            await ask()


@pytest.mark.parametrize("change", [poisoned(math.nan), poisoned(math.inf), halved], ids=["NaN", "infinite", "halved"])
async def test_a_stored_vector_that_is_none_is_computed_again(
    proxied: MilvusIndex, way: GrpcFaults, change: Change
) -> None:
    way.faults["Query"] = changed(milvus_pb2.QueryResults, change)
    assert await proxied.vectors(ACME, HANDBOOK, [text_hash("a red pump")], model=MODEL) == {}
    [event] = slices(["a red pump", "a blue pump"], version=2)
    words = HashedWords()
    [written] = await Embed(words, proxied)(event)
    assert isinstance(written, ChunksEmbedded)
    assert words.texts == ["a red pump", "a blue pump"]
    await proxied.write(written)


async def test_a_rate_limit_is_told_at_once_with_when_to_come_again(proxied: MilvusIndex, way: GrpcFaults) -> None:
    limited = common_pb2.Status(code=8, error_code=common_pb2.RateLimit, reason="rate limit exceeded[rate=1]")
    way.faults["Upsert"] = milvus_pb2.MutationResult(status=limited).SerializeToString()
    way.faults["HybridSearch"] = milvus_pb2.SearchResults(status=limited).SerializeToString()
    for ask in (lambda: find(proxied, "pump"), lambda: publish(proxied, ["a blue pump"], version=2)):
        with pytest.raises(Transient, match=f"{way.address}.*rate limit exceeded.*quotaAndLimits") as refused:
            await ask()
        assert refused.value.retry_after_s == 1.0


def texts(passages: Any) -> list[str]:
    found: list[Passage] = list(passages)
    return [passage.text for passage in found]
