"""The Index contract on a real Milvus Lite server, and what is Milvus' own."""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from processors.backends.milvus import store as milvus_store
from processors.backends.milvus.expressions import label_token, quoted, tokens
from processors.backends.milvus.index import MilvusIndex
from processors.backends.milvus.rows import newest_row
from processors.errors import Transient
from schemas import DocumentId, Passage, Tenant
from streams.local.listeners import free_ports
from streams.local.milvus import answers
from streams.settings import Settings
from tests.processors.happenings import ACME, embedded, head, slices
from tests.processors.index_contract import HANDBOOK, IndexContract, find, publish

pytestmark = pytest.mark.stack

HOSTILE = (
    '" or 1==1 or "',
    '\\" or tenant != "',
    "{t}",
    "a\nb",
    "%",
    "'",
    "\\",
    '"',
    "\u0000",
    "🪣\u202e",
    "$meta['x']",
)
hostile = st.text(min_size=1, max_size=40) | st.sampled_from(HOSTILE)
on_a_server = hypothesis_settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


class TestMilvusIndex(IndexContract):
    pass


@on_a_server
@given(text=hostile)
@example(HOSTILE[0])
@example(HOSTILE[1])
@example("%")
async def test_no_value_widens_what_a_search_sees(index: MilvusIndex, text: str) -> None:
    if await index.head(ACME, HANDBOOK) is None:
        await publish(index, ["a secret pump"], readers=("ann",), metadata={"team": "north"})
        await publish(index, ["the pump of globex"], tenant="globex")
    assert await find(index, text, tenant=text) == []
    assert await find(index, text) == []
    assert await find(index, "pump", principals=(text, f"ann{text}")) == []
    assert await find(index, "pump", principals=("ann",), filters={"team": text}) == []
    assert await find(index, "pump", principals=("ann",), filters={text: "north"}) == []
    assert await find(index, "pump", principals=("ann",), filters={text: (text, "north")}) == []
    assert await index.head(ACME, DocumentId(text)) is None
    assert await index.head(Tenant(text), HANDBOOK) is None
    assert await index.heads(Tenant(text)) == []
    assert await index.vectors(ACME, HANDBOOK, [text], model="hashed-words") == {}
    assert set((await index.erase(Tenant(text), HANDBOOK, up_to_version=9)).values()) == {0}
    assert set((await index.erase(ACME, DocumentId(text), up_to_version=9)).values()) == {0}


@on_a_server
@given(text=hostile)
@example(HOSTILE[0])
async def test_any_text_can_be_stored_and_asked_for(index: MilvusIndex, text: str) -> None:
    version = time.time_ns()
    await publish(index, [f"pump {text}"], document_id=text, version=version, metadata={text: text}, readers=(text,))
    [passage] = await find(index, "pump", principals=(text,), filters={text: text})
    assert (passage.document_id, passage.text, passage.metadata) == (text, f"pump {text}", {text: text})
    assert [head.document_id for head in await index.heads(ACME) if head.document_id == text] == [text]
    assert await find(index, "pump", filters={text: text}) == []


def test_a_quoted_value_ends_only_at_its_end() -> None:
    assert quoted('a"b\\c\nd') == '"a\\"b\\\\c\\nd"'


def test_equal_numbers_have_equal_labels_and_nothing_else_has() -> None:
    assert label_token("level", 2) == label_token("level", 2.0)
    assert len({label_token("level", value) for value in (2, 2.5, "2", True, 1, "True")}) == 6


def test_a_set_of_tokens_is_one_text() -> None:
    assert tokens([]) == ""
    assert tokens(["b", "a", "b"]) == "|a|b|"


class Server:
    """A Milvus Lite of the test's own, to be killed."""

    def __init__(self, folder: str) -> None:
        [self.port] = free_ports(1)
        program = Path(sys.executable).with_name("milvus-lite")
        self._command = [sys.executable, str(program), "server", "--data-dir", folder]
        self._command += ["--host", "127.0.0.1", "--port", str(self.port)]

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not answers(f"127.0.0.1:{self.port}"):
            assert self._process.poll() is None, "milvus-lite ended"
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        server = Server(folder)
        server.start()
        yield server
        server.kill()


async def test_an_outage_is_transient_and_a_restart_loses_nothing(server: Server) -> None:
    index = MilvusIndex(f"milvus+http://127.0.0.1:{server.port}/documents")
    await index.open()
    await publish(index, ["a red pump"])
    server.kill()
    with pytest.raises(Transient, match="server unavailable"):
        await find(index, "pump")
    with pytest.raises(Transient):
        await publish(index, ["a blue pump"], version=2)
    server.start()
    assert [passage.text for passage in await _once_connected(lambda: find(index, "pump"))] == ["a red pump"]
    await publish(index, ["a blue pump"], version=2)
    assert [passage.text for passage in await find(index, "pump")] == ["a blue pump"]
    fresh = MilvusIndex(f"milvus+http://127.0.0.1:{server.port}/documents")
    await fresh.open()
    assert [passage.text for passage in await find(fresh, "pump")] == ["a blue pump"]
    await fresh.close()
    await index.close()


async def _once_connected(attempt: Callable[[], Awaitable[Sequence[Passage]]]) -> Sequence[Passage]:
    """As the runtime retries: a channel takes a moment to find out that its server is back."""
    for _ in range(100):
        try:
            return await attempt()
        except Transient:
            await asyncio.sleep(0.1)
    return await attempt()


async def test_a_server_that_is_not_there_is_named_with_the_remedy() -> None:
    [port] = free_ports(1)
    index = MilvusIndex(f"milvus+http://127.0.0.1:{port}/documents")
    with pytest.raises(Transient, match=rf"127\.0\.0\.1:{port}.*index URL"):
        await index.open()
    await index.close()


async def test_a_document_beyond_the_limit_of_a_query_is_read_in_pages(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_store, "MAX_ROWS", 3)
    [event] = slices([f"chunk {number}" for number in range(8)])
    await index.write(await embedded(event))
    await index.flip(head(event))
    assert (await index.count(event.document)).chunks == 8
    assert [chunk.ordinal for chunk in await index.chunks(ACME, HANDBOOK)] == list(range(8))


async def test_more_documents_than_a_query_returns_are_all_listed(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"document-{number:02}" for number in range(20)]
    for name in names:
        await publish(index, ["a pump"], document_id=name)
    monkeypatch.setattr(milvus_store, "MAX_ROWS", 4)
    assert [head.document_id for head in await index.heads(ACME)] == names
    assert [head.document_id for head in await index.heads(ACME, limit=7)] == names[:7]


async def test_a_search_of_an_older_snapshot_sees_the_version_of_its_time(index: MilvusIndex, stack: Settings) -> None:
    await publish(index, ["one pump"])
    await publish(index, ["two pumps"], version=2, flipped_at=datetime.now(UTC))
    behind = MilvusIndex(f"{stack.index_url.rpartition('/')[0]}/{index.name}", staleness_s=60)
    await behind.open()
    assert [passage.text for passage in await find(behind, "pump")] == ["one pump"]
    await behind.close()
    assert [passage.text for passage in await find(index, "pump")] == ["two pumps"]


async def test_a_head_written_between_the_two_looks_of_a_search_hides_nothing(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in range(1, 30):
        await publish(index, [f"pump {version}"], version=version)
    [late] = slices(["the newest pump"], version=30)
    await index.write(await embedded(late))
    look, looks = index._found, []

    async def found(*arguments: Any, **options: Any) -> Any:
        looks.append(await look(*arguments, **options))
        await index.flip(head(late))  # its time lies before the search, as that of a flip on its way does
        return looks[-1]

    monkeypatch.setattr(index, "_found", found)
    assert [passage.text for passage in await find(index, "pump")] == ["pump 29"]
    assert len(looks) == 2


async def test_rows_of_a_document_that_is_still_being_written_take_no_room(index: MilvusIndex) -> None:
    [large] = slices(["pump"] * 60, document_id="large", per_slice=60)
    await index.write(await embedded(large))
    assert await find(index, "pump", limit=10) == []
    await publish(index, ["a pump and other words"], document_id="small")
    assert [passage.text for passage in await find(index, "pump", limit=10)] == ["a pump and other words"]


async def test_a_collection_may_be_created_while_another_is_flushed(
    index: MilvusIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus_store, "FLUSH_ROWS", 1)
    flushing, created = asyncio.Event(), asyncio.Event()
    call, exists = index._client.call, index._store.collections.exists

    async def held(method: str, *arguments: Any, **options: Any) -> Any:
        if method == "flush":
            flushing.set()
            await created.wait()
        return await call(method, *arguments, **options)

    async def seen(collection: str) -> bool:
        there = await exists(collection)
        if there and collection == index._store.heads:
            created.set()
        return there

    monkeypatch.setattr(index._client, "call", held)
    monkeypatch.setattr(index._store.collections, "exists", seen)
    [event] = slices(["a red pump"])
    writing = asyncio.create_task(index.write(await embedded(event)))
    await flushing.wait()
    await asyncio.gather(writing, index.flip(head(event)))
    assert [passage.text for passage in await find(index, "pump")] == ["a red pump"]


async def test_sweep_repairs_what_a_late_writer_did_to_the_newest_head(index: MilvusIndex) -> None:
    old = await publish(index, ["one pump"])
    new = await publish(index, ["two pumps"], version=2)
    await index._store.write_heads([newest_row(old)])
    assert await index.head(ACME, HANDBOOK) == old
    assert [passage.text for passage in await find(index, "pump")] == ["two pumps"]
    await index.sweep()
    assert await index.head(ACME, HANDBOOK) == new


async def test_check_tells_server_collection_rows_and_model(index: MilvusIndex) -> None:
    assert "nothing written yet" in await index.check()
    await publish(index, ["one", "two"])
    assert (
        await index.check() == f"milvus_lite-3.2.2, collection {index.name!r}: 2 rows by 'hashed-words' (64 dimensions)"
    )


def test_connecting_imports_no_pandas() -> None:
    program = (
        "import sys; from processors.backends.milvus.deferred_pandas import pandas_deferred\n"
        "with pandas_deferred():\n"
        "    import pymilvus\n"
        "assert not [name for name in sys.modules if name.partition('.')[0] == 'pandas']\n"
        "from pymilvus.orm.schema import check_is_row_based\n"
        "assert check_is_row_based([{'a': 1}])\n"
        "import pandas\n"
        "assert not check_is_row_based(pandas.DataFrame({'a': [1]}))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class Overtaken(MilvusIndex):
    """Between a search's look at the rows and its look at the heads something happens, once."""

    meanwhile: Callable[[], Awaitable[object]] | None = None

    async def _heads(self, expression: str, snapshot_s: float | None) -> Any:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super()._heads(expression, snapshot_s)


@pytest.mark.parametrize("behind_s", [0, 5, -5])
async def test_a_version_that_replaces_another_amid_a_search_leaves_no_hole_whatever_its_writers_clock_says(
    index: MilvusIndex, another: Callable[[], MilvusIndex], behind_s: float
) -> None:
    overtaken = Overtaken(f"milvus+{index._client.uri}/{index.name}")
    await overtaken.open()
    await publish(index, ["the old pump"], flipped_at=datetime.now(UTC) - timedelta(minutes=1))
    await publish(index, ["a valve"], document_id="other")

    async def replace_it() -> None:
        await publish(index, ["the new pump"], version=2, flipped_at=datetime.now(UTC) - timedelta(seconds=behind_s))

    overtaken.meanwhile = replace_it
    found = [passage.text for passage in await find(overtaken, "pump") if passage.document_id == HANDBOOK]
    assert found in (["the old pump"], ["the new pump"])
    await overtaken.close()
