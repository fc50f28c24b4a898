"""Builds a collection anew beside the old one, switches the alias, and loses no row while workers go on writing."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, TypeVar

from processors.backends.milvus.aliases import Model
from processors.backends.milvus.client import MilvusClient, Row, consistency
from processors.backends.milvus.expressions import EVERYBODY, among, tokens
from processors.backends.milvus.rows import NEWEST, head_of, newest_row
from processors.backends.milvus.schema import CHUNK_SETS, Shape
from processors.backends.milvus.search import by_document
from processors.backends.milvus.store import HEX, MilvusStore
from processors.backends.milvus.sweep import flipped_since, swept
from processors.errors import Transient
from processors.index_plan import Layout

PAGE_ROWS = 1_000
"""Whole rows, vectors and texts with them: some 5 MB, of the 64 MB that a server takes at once."""
PAGE_TIMEOUT_S = 60.0
ATTEMPTS, PAUSE_S = 10, 3.0
CATCH_UPS, FEW_ROWS = 5, 64
"""Before the switch: so many times what came meanwhile is copied, or until little came; what is missing at the switch
is invisible until it has been copied after it."""
SETTLED_S = 2.0
"""After the switch: what a worker sent to the old name before it has arrived."""
SWEPT_BY_WORKERS_S = 15.0
"""What was flipped later is swept by the worker that flipped it, in the new collection."""
CLOCKS_S = 60.0
"""Further back than any worker's clock lags."""

T = TypeVar("T")


async def rebuilt(store: MilvusStore, alias: str, target: str, wanted: Layout) -> None:
    """Let `alias` name a new collection `target` that holds what the old one holds. The old one stays."""
    client, began_s = store.client, time.time()
    before = await client.describe(alias)
    source = str(before["collection_name"])
    await _created(store, alias, target, wanted, before)
    await store.collections.load(target)
    await _copied(store, source, target, everything=True)
    for _ in range(CATCH_UPS):
        if await _copied(store, source, target, everything=False) <= FEW_ROWS:
            break
    if source == alias:  # from before there were aliases: a name cannot be both
        source = f"{alias}_v1"
        await client.call("rename_collection", alias, source)
    await client.move_alias(alias, target)
    store.collections.forget()
    for pause_s in (0.0, SETTLED_S):
        await asyncio.sleep(pause_s)
        await _copied(store, source, target, everything=False)
        changed = await flipped_since(store, began_s - CLOCKS_S)
        if alias == store.heads:
            await _heads_repaired(store, changed)
    if alias == store.chunks:  # what was erased or swept in the old collection after it had been copied
        await swept(store, changed, time.time() - SWEPT_BY_WORKERS_S)


async def _created(store: MilvusStore, alias: str, target: str, wanted: Layout, before: Mapping[str, Any]) -> None:
    if alias == store.heads:
        await store.collections.create_heads(target, wanted)
        return
    shape = Shape.of(before, "")
    model = Model(shape.model, shape.dimensions)
    await store.collections.create_chunks(target, model, await store.collections.words(), wanted)


async def _copied(store: MilvusStore, source: str, target: str, *, everything: bool) -> int:
    """Copy all rows, or those that `target` lacks; how many."""
    client, copied = store.client, 0
    described = await client.describe(source)
    fields = [field["name"] for field in described["fields"]]
    chunks = "dense" in fields
    then = Shape.of(await client.describe(target), "") if chunks else None
    if not (then and then.words == "encoder"):
        fields = [field for field in fields if field != "sparse"]  # the server makes them, or there are none
    async for keys in _pages(store, source):
        wanted = keys if everything else await _absent(client, target, keys)
        if wanted:
            rows = await _query(client, source, among("id", wanted), fields)
            if not everything:  # a head's second row may be newer there; it is made anew
                rows = [row for row in rows if chunks or row["document"] != NEWEST]
            copies = [_formed(row, then) for row in rows] if then else rows
            await _patiently(partial(store.write_copies, target, copies, then.words if then else "none"))
            copied += len(copies)
    return copied


async def _pages(store: MilvusStore, collection: str) -> AsyncIterator[list[str]]:
    """All keys, by ranges with about a page in each: keys are digests, so they spread evenly."""
    [counted] = await _query(store.client, collection, "", ["count(*)"])
    depth = 0
    while counted["count(*)"] > PAGE_ROWS * 16**depth:
        depth += 1
    for digits in product(HEX, repeat=depth):
        start = "".join(digits)
        rows = await store.query(collection, f'id >= "{start}" and id < "{start}g"', ["id"], snapshot_s=None)
        keys = sorted(row["id"] for row in rows)
        for first in range(0, len(keys), PAGE_ROWS):
            yield keys[first : first + PAGE_ROWS]


async def _absent(client: MilvusClient, collection: str, keys: Sequence[str]) -> list[str]:
    there = await _query(client, collection, among("id", keys), ["id"])
    return sorted(set(keys) - {row["id"] for row in there})


def _formed(row: Row, then: Shape) -> Row:
    """The row with its sets as the new collection stores them."""
    changed: Row = {}
    for name in CHUNK_SETS:
        given = row[name]
        items = [item for item in given.split("|") if item] if isinstance(given, str) else list(given)
        items = [item for item in items if item != EVERYBODY]
        nobody = [EVERYBODY] if name == "readers" else []
        changed[name] = tokens(items) if then.sets == "text" else (items or nobody)
    return row | changed


async def _heads_repaired(store: MilvusStore, documents: Sequence[str]) -> None:
    """The second row of each head that moved meanwhile, which its first rows decide."""
    for start in range(0, len(documents), PAGE_ROWS):
        some = documents[start : start + PAGE_ROWS]
        rows = await _query(store.client, store.heads, among("document", some), ["*"])
        await store.write_heads([newest_row(head_of(versions[0])) for versions in by_document(rows).values()])


async def _query(client: MilvusClient, collection: str, expression: str, fields: Sequence[str]) -> list[Row]:
    options = {"output_fields": list(fields), "timeout_s": PAGE_TIMEOUT_S, **consistency(None)}
    return list(await _patiently(lambda: client.call("query", collection, filter=expression, **options)))


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """A server that is busy for a moment must not end hours of copying."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except Transient as error:
            await asyncio.sleep(error.retry_after_s or PAUSE_S)
    return await attempt()
