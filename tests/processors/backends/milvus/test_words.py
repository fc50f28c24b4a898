"""Who weighs words: the server, an encoder where the server cannot, or nobody, with a warning."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from zlib import crc32

import pytest

from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.provisioning import MilvusProvisioner
from processors.backends.milvus.schema import Server
from processors.conformance import Check, title
from processors.conformance.index import CHECKS, Connected
from processors.errors import Transient
from processors.index_plan import Expected
from processors.ports import Role
from streams.settings import Settings
from tests.processors.index_contract import find, publish

pytestmark = pytest.mark.stack
Connect = Callable[..., MilvusIndex]


class Words:
    """Weighs each word of four letters or more by its length."""

    def __init__(self) -> None:
        self.roles: list[Role] = []

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def check(self) -> str:
        return "words"

    async def encode(self, texts: Sequence[str], *, role: Role) -> Sequence[Mapping[int, float]]:
        self.roles.append(role)
        words = ([word for word in text.split() if len(word) >= 4] for text in texts)
        return [{crc32(word.encode()): float(len(word)) for word in found} for found in words]


@pytest.fixture
def without_bm25(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Milvus 2.4 is."""
    monkeypatch.setattr(Server, "has_bm25", property(lambda _: False))


@pytest.fixture
def connect(another: Callable[[], MilvusIndex], stack: Settings) -> Connect:
    """Further connections to one collection, with or without an encoder."""
    url = f"{stack.index_url.rpartition('/')[0]}/{another().name}"
    return lambda encoder=None: MilvusIndex(url, encoder=encoder)


@pytest.fixture
async def index(connect: Connect, without_bm25: None) -> AsyncIterator[MilvusIndex]:
    index = connect(Words())
    await index.open()
    yield index
    await index.close()


SEARCHES = {
    "a_passage_says_where_it_stands_and_how_it_scored",
    "passages_come_best_first_and_at_most_as_many_as_asked_for",
    "a_tenant_never_sees_anothers_documents",
    "a_document_with_readers_is_found_only_by_one_of_them",
}


@pytest.mark.parametrize("check", [check for check in CHECKS if check.__name__ in SEARCHES], ids=title)
async def test_an_index_with_an_encoder_finds_as_any_other(
    index: MilvusIndex, connect: Connect, check: Check[Connected]
) -> None:
    await check(Connected(index, lambda: connect(Words())))


async def test_an_encoder_weighs_passages_and_questions_apart_and_its_score_has_a_name_of_its_own(
    connect: Connect, without_bm25: None
) -> None:
    words = Words()
    index = connect(words)
    await index.open()
    await publish(index, ["a red pump", "a blue valve"])
    passages = await find(index, "which pump")
    assert words.roles == ["passage", "query"]
    assert set(passages[0].scores) == {"dense", "sparse", "fused"}
    assert passages[0].scores["sparse"] == 16.0
    await index.close()


async def test_texts_without_a_known_word_are_stored_and_found_by_meaning(index: MilvusIndex) -> None:
    await publish(index, ["a b c"])
    assert [passage.text for passage in await find(index, "b")] == ["a b c"]


async def test_a_collection_that_an_encoder_filled_waits_for_it(index: MilvusIndex, connect: Connect) -> None:
    await publish(index, ["a red pump"])
    bare = connect()
    await bare.open()
    with pytest.raises(Transient, match="setting `sparse`"):
        await publish(bare, ["a blue pump"], version=2)
    assert [passage.text for passage in await find(bare, "pump")] == ["a red pump"]
    assert "WARNING: dense only" in await bare.check()
    await bare.close()


async def test_without_either_an_index_is_dense_only_and_says_so(connect: Connect, without_bm25: None) -> None:
    index = connect()
    await index.open()
    await publish(index, ["a red pump"])
    assert set((await find(index, "pump"))[0].scores) == {"dense", "fused"}
    assert "WARNING: dense only" in await index.check()
    await index.close()


async def test_an_encoder_that_is_not_needed_is_named(connect: Connect) -> None:
    words = Words()
    index = connect(words)
    await index.open()
    await publish(index, ["a red pump"])
    assert "bm25" in (await find(index, "pump"))[0].scores
    assert "`sparse` is not needed" in await index.check()
    assert words.roles == []
    await index.close()


async def test_a_rebuild_gives_words_to_an_index_that_had_none(
    connect: Connect, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as old:
        old.setattr(Server, "has_bm25", property(lambda _: False))
        index = connect()
        await index.open()
        await publish(index, ["a red pump"])
    provisioner = MilvusProvisioner(f"{stack.index_url.rpartition('/')[0]}/{index.name}")
    await provisioner.open()
    plan = await provisioner.plan(Expected(), model="", dimensions=64)
    [change] = [change for change in plan.changes if change.what == "words"]
    assert "WARNING: dense only" in change.current
    await provisioner.apply(plan, model="", dimensions=64, hows={"rebuild"})
    await provisioner.close()
    later = connect()
    await later.open()
    assert (await find(later, "pump"))[0].scores["bm25"] > 0
    await later.close()
    await index.close()
