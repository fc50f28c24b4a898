"""What a Milvus has, what it should have, and how to get there without losing a row."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from processors.backends.http import at_start
from processors.backends.milvus.address import MilvusAddress
from processors.backends.milvus.aliases import Model
from processors.backends.milvus.client import MilvusClient
from processors.backends.milvus.migration import rebuilt
from processors.backends.milvus.schema import CHUNK_NUMBERS, CHUNK_TEXTS, HEAD_NUMBERS, HEAD_TEXTS, Shape, Words
from processors.backends.milvus.store import MilvusStore
from processors.index_plan import Change, Expected, How, IndexPlan, Layout, layout
from processors.ports import SparseEncoder

WEIGHED: Mapping[Words, str] = {
    "bm25": "words by the server's BM25",
    "encoder": "words by the setting `sparse`",
    "none": "WARNING: dense only, words are not matched: set `sparse` (Milvus 2.4), or use Milvus 2.5 or later",
}
VERSION = re.compile(r"(.+)_v(\d+)")


class MilvusProvisioner:
    """Plans and applies the collections behind an index URL, as MilvusIndex reads it."""

    def __init__(
        self, url: str, token: str = "", *, ca_file: Path | None = None, encoder: SparseEncoder | None = None
    ) -> None:
        address = MilvusAddress.parse(url)
        self._client = MilvusClient(address.uri, token=token, database=address.database, ca_file=ca_file)
        self._encoder = encoder
        self._expected = Expected()
        self._store = MilvusStore(
            self._client, address.collection, layout=lambda wide: layout(self._expected, wide), encoder=encoder
        )
        self._no_database = False

    async def open(self) -> None:
        with at_start():
            if self._encoder is not None:
                await self._encoder.open()
            await self._client.open(database="")
            there = await self._client.call("list_databases")
            self._no_database = bool(self._client.database) and self._client.database not in there
            if self._client.database and not self._no_database:
                await self._client.open()

    async def close(self) -> None:
        await self._store.close()
        if self._encoder is not None:
            await self._encoder.close()

    async def dimensions(self) -> int | None:
        if self._no_database or not await self._client.exists(self._store.chunks):
            return None
        return Shape.of(await self._client.describe(self._store.chunks), "").dimensions

    async def plan(self, expected: Expected, *, model: str, dimensions: int) -> IndexPlan:
        self._expected = expected
        wanted = layout(expected, dimensions)
        chunks, heads = self._store.chunks, self._store.heads
        changes: list[Change] = []
        if self._no_database:
            changes.append(Change(self._client.database, "database", "", "created", "apply"))
        for name in (chunks, heads):
            if self._no_database or not await self._client.exists(name):
                changes.append(await self._creation(name, wanted, dimensions))
            else:
                changes += await self._differences(name, wanted, Model(model, dimensions))
        return IndexPlan(self._client.server.version, wanted, tuple(changes))

    async def apply(self, plan: IndexPlan, *, model: str, dimensions: int, hows: Collection[How]) -> Sequence[Change]:
        todo = [change for change in plan.changes if change.how in hows]
        if any(change.what == "database" for change in todo):
            await self._client.call("create_database", self._client.database)
            await self._client.open()
            self._no_database = False
        for change in todo:
            if change.how == "apply":
                await self._do(change, Model(model, dimensions), plan.layout)
        outgrown = sorted({change.collection for change in todo if change.how == "rebuild"})
        for name in outgrown:
            await self._rebuild(name, plan.layout)
        for change in todo:
            if change.how == "drop":
                await self._client.call("drop_collection", change.collection)
        left = [change for change in plan.changes if change not in todo]
        known = {change.collection for change in left}
        for name in outgrown:
            left += [change for change in await self._leftovers(name) if change.collection not in known]
        return left

    async def _creation(self, name: str, wanted: Layout, dimensions: int) -> Change:
        spread = f"{name}_v1 with {wanted.shards} shards and {wanted.partitions} partitions by tenant"
        if name == self._store.heads:
            return Change(name, "create", "", spread, "apply")
        words = await self._store.collections.words()
        about = f"{spread}, {wanted.index[0]} over {dimensions} dimensions, {WEIGHED[words]}"
        return Change(name, "create", "", about, "apply")

    async def _differences(self, name: str, wanted: Layout, model: Model) -> list[Change]:
        described = await self._client.describe(name)
        physical = str(described["collection_name"])
        changes = []
        if physical == name:
            changes.append(Change(name, "alias", "a collection", f"an alias of {name}_v1", "apply"))
        changes += self._fields(name, described)
        if not self._client.server.is_lite:  # which has neither, and says something
            for what, now, then in (
                ("shards", described.get("num_shards"), wanted.shards),
                ("partitions", described.get("num_partitions"), wanted.partitions),
            ):
                if now != then:
                    changes.append(Change(name, what, str(now), str(then), "rebuild"))
        if name == self._store.chunks:
            changes += await self._of_chunks(described, wanted, model)
        return changes + await self._leftovers(name)

    def _fields(self, name: str, described: Mapping[str, Any]) -> list[Change]:
        there = {field["name"] for field in described["fields"]}
        kinds = _kinds(name == self._store.heads)
        how: How = "apply" if self._client.server.adds_fields else "rebuild"
        return [Change(name, "field", "missing", field, how) for field in kinds if field not in there]

    async def _of_chunks(self, described: Mapping[str, Any], wanted: Layout, model: Model) -> list[Change]:
        name = self._store.chunks
        index = (await self._client.indexed(name)).get("dense", {}).get("index_type", "")
        there, words = Shape.of(described, str(index)), await self._store.collections.words()
        kind, changes = wanted.index[0], []
        if there.words != words:
            changes.append(Change(name, "words", WEIGHED[there.words], WEIGHED[words], "rebuild"))
        if there.sets != self._client.server.form.sets:
            changes.append(Change(name, "sets", there.sets, self._client.server.form.sets, "rebuild"))
        if not index:
            changes.append(Change(name, "index", "missing", kind, "apply"))
        elif index != kind:
            changes.append(Change(name, "index", str(index), kind, "rebuild"))
        if not there.model:
            changes.append(Change(name, "model", "unknown", "a new collection, filled by ingesting again", "hand"))
        elif model.fingerprint and (there.model, there.dimensions) != (model.fingerprint, model.dimensions):
            now = str(Model(there.model, there.dimensions))
            again = f"{model}: vectors are not copied between models, so name a new collection and ingest again"
            changes.append(Change(name, "model", now, again, "hand"))
        return changes

    async def _leftovers(self, name: str) -> list[Change]:
        physical = str((await self._client.describe(name))["collection_name"])
        current = f"replaced by {physical}, keeping what was erased since"
        changes = []
        for other in sorted(await self._client.call("list_collections")):
            version = VERSION.fullmatch(other)
            if version and version[1] == name and other != physical:
                changes.append(Change(other, "leftover", current, "dropped", "drop"))
        return changes

    async def _do(self, change: Change, model: Model, wanted: Layout) -> None:
        name, collections = change.collection, self._store.collections
        match change.what:
            case "create" if name == self._store.heads:
                await collections.prepare_heads()
            case "create":
                await collections.prepare_chunks(model)
            case "alias":
                # The first write of a worker that looks in between does the same.
                await self._client.call("rename_collection", name, f"{name}_v1")
                await self._client.give_alias(f"{name}_v1", name)
            case "field":
                kinds = _kinds(name == self._store.heads)
                texts = {"data_type": self._client.types.DataType.VARCHAR, "max_length": 65_535, "default_value": ""}
                numbers = {"data_type": self._client.types.DataType.INT64, "default_value": 0}
                options: dict[str, Any] = texts if kinds[change.wanted] == "text" else numbers
                await self._client.call("add_collection_field", name, change.wanted, nullable=True, **options)
            case "index":
                await collections.load(name)

    async def _rebuild(self, name: str, wanted: Layout) -> None:
        there = [VERSION.fullmatch(other) for other in await self._client.call("list_collections")]
        last = max((int(version[2]) for version in there if version and version[1] == name), default=1)
        await rebuilt(self._store, name, f"{name}_v{last + 1}", wanted)


def _kinds(heads: bool) -> dict[str, str]:
    """The scalar fields that a collection may lack, by name: those of the first release, and what came later."""
    texts, numbers = (HEAD_TEXTS, HEAD_NUMBERS) if heads else (CHUNK_TEXTS, CHUNK_NUMBERS)
    return dict.fromkeys(texts, "text") | dict.fromkeys(numbers, "number")
