"""Object stores in a folder and in memory."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from processors.backends.objects import MAX_OBJECT_BYTES, UrlObjectStore
from processors.errors import Poison, Transient
from tests.processors.object_store_contract import ObjectStoreContract


@pytest.fixture
async def store(url: str) -> AsyncIterator[UrlObjectStore]:
    store = UrlObjectStore(url)
    await store.open()
    yield store
    await store.close()


class TestMemory(ObjectStoreContract):
    @pytest.fixture
    def url(self) -> str:
        return "memory://"


class TestFolder(ObjectStoreContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return (tmp_path / "ob jects 100%").as_uri()

    async def test_another_process_finds_the_object(self, store: UrlObjectStore, url: str) -> None:
        claim = await store.put(b"shared")
        other = UrlObjectStore(url + "/")
        await other.open()
        assert await other.get(claim) == b"shared"

    async def test_a_producer_may_name_its_own_objects(self, store: UrlObjectStore, url: str, tmp_path: Path) -> None:
        claim = await store.put(b"mine")
        (tmp_path / "ob jects 100%" / "report 1.txt").write_bytes(b"mine")
        assert await store.get(replace(claim, uri=f"{url}/report%201.txt")) == b"mine"

    async def test_a_link_out_of_the_store_is_refused(self, store: UrlObjectStore, url: str, tmp_path: Path) -> None:
        claim = await store.put(b"secret")
        (tmp_path / "secret").write_bytes(b"secret")
        (tmp_path / "ob jects 100%" / "link").symlink_to(tmp_path / "secret")
        (tmp_path / "ob jects 100%" / "folder").symlink_to(tmp_path)
        for name in ("link", "folder/secret"):
            with pytest.raises(Poison, match="claim-outside-store"):
                await store.get(replace(claim, uri=f"{url}/{name}"))

    async def test_nothing_but_the_object_is_left_behind(self, store: UrlObjectStore, tmp_path: Path) -> None:
        await store.put(b"one")
        await store.put(b"one")
        assert len(_files(tmp_path)) == 1


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_store_that_is_not_open_says_so() -> None:
    with pytest.raises(Transient, match="not open"):
        await UrlObjectStore("memory://").put(b"x")


async def test_a_folder_that_cannot_be_made_is_named() -> None:
    with pytest.raises(Poison, match="/proc/none"):
        await UrlObjectStore("file:///proc/none").open()


async def test_bytes_over_the_limit_are_not_stored() -> None:
    store = UrlObjectStore("memory://")
    await store.open()
    with pytest.raises(Poison, match="claim-too-large"):
        await store.put(bytes(MAX_OBJECT_BYTES + 1))
