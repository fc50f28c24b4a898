"""What every object store must do."""

import hashlib
from dataclasses import replace

import pytest

from processors.errors import Poison
from processors.ports import ObjectStore


class ObjectStoreContract:
    """Subclass it and provide a fixture `store`, opened, and its `url`."""

    async def test_what_was_put_comes_back(self, store: ObjectStore) -> None:
        claim = await store.put(b"a large document")
        assert claim.size_bytes == 16
        assert claim.sha256 == hashlib.sha256(b"a large document").hexdigest()
        assert await store.get(claim) == b"a large document"

    async def test_the_same_bytes_are_one_object(self, store: ObjectStore) -> None:
        assert await store.put(b"twice") == await store.put(b"twice")

    async def test_an_empty_object_is_an_object(self, store: ObjectStore) -> None:
        assert await store.get(await store.put(b"")) == b""

    async def test_a_missing_object_is_poison(self, store: ObjectStore) -> None:
        claim = await store.put(b"x")
        with pytest.raises(Poison, match="claim-missing"):
            await store.get(replace(claim, uri=claim.uri[:-4] + "0000"))

    @pytest.mark.parametrize("change", [{"size_bytes": 8}, {"sha256": "0" * 64}])
    async def test_other_bytes_than_claimed_are_poison(self, store: ObjectStore, change: dict[str, object]) -> None:
        claim = await store.put(b"claimed")
        with pytest.raises(Poison, match="claim-mismatch"):
            await store.get(replace(claim, **change))  # type: ignore[arg-type]

    async def test_a_claim_over_the_limit_is_refused_before_it_is_read(self, store: ObjectStore) -> None:
        claim = await store.put(b"small")
        with pytest.raises(Poison, match="claim-too-large"):
            await store.get(replace(claim, size_bytes=10**12))

    @pytest.mark.parametrize("name", ["../secret", "a/../../secret", "%2e%2e/secret", "a//b", "", "a\\..\\b", "a\0b"])
    async def test_a_name_that_climbs_out_is_refused(self, store: ObjectStore, url: str, name: str) -> None:
        claim = await store.put(b"x")
        with pytest.raises(Poison, match="claim-outside-store"):
            await store.get(replace(claim, uri=f"{url}/{name}"))

    @pytest.mark.parametrize("uri", ["file:///etc/passwd", "s3://elsewhere/key", "http://127.0.0.1/x", "", "key"])
    async def test_a_foreign_uri_is_refused(self, store: ObjectStore, uri: str) -> None:
        claim = await store.put(b"x")
        with pytest.raises(Poison, match="claim-outside-store"):
            await store.get(replace(claim, uri=uri))

    async def test_it_says_that_it_works(self, store: ObjectStore, url: str) -> None:
        assert url.partition(":")[0] in await store.check()

    async def test_closing_twice_is_harmless(self, store: ObjectStore) -> None:
        await store.close()
        await store.close()
