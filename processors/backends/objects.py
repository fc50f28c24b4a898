"""Object store: documents too large for an event, below one URL, under their own hash."""

import hashlib
import re
from pathlib import Path
from typing import Any, Final

from processors.errors import Poison, Transient
from schemas import Claim

MAX_OBJECT_BYTES: Final = 256 * 1024 * 1024
NAME: Final = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}")


class UrlObjectStore:
    """Objects below a `file`, `s3`, `gs`, `az` or `memory` URL."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/") if not url.endswith("://") else url
        self._store: Any = None

    async def open(self) -> None:
        from obstore.store import from_url

        options: dict[str, Any] = {"mkdir": True} if self.url.startswith("file:") else {}
        self._store = from_url(self.url, **options)

    async def close(self) -> None:
        self._store = None

    async def check(self) -> str:
        claim = await self.put(b"headwater")
        await self.get(claim)
        return f"{self.url} stores and returns objects"

    async def put(self, data: bytes) -> Claim:
        if len(data) > MAX_OBJECT_BYTES:
            raise Poison("claim-too-large", f"{len(data):,} bytes; at most {MAX_OBJECT_BYTES:,}: split the document")
        sha256 = hashlib.sha256(data).hexdigest()
        name = f"{sha256[:2]}/{sha256}"
        import obstore

        await obstore.put_async(self._store, name, data)
        return Claim(uri=f"{self.url}/{name}", sha256=sha256, size_bytes=len(data))

    async def get(self, claim: Claim) -> bytes:
        name = self._name(claim)
        if claim.size_bytes > MAX_OBJECT_BYTES:
            raise Poison(
                "claim-too-large", f"{claim.uri!r} has {claim.size_bytes:,} bytes; at most {MAX_OBJECT_BYTES:,}"
            )
        import obstore
        from obstore.exceptions import BaseError

        try:
            data = bytes(await (await obstore.get_async(self._store, name)).bytes_async())
        except FileNotFoundError:
            raise Poison("claim-missing", f"{claim.uri!r} is not in the store: publish the document again") from None
        except BaseError as error:
            raise Transient(f"{self.url}: {error}") from error
        if len(data) != claim.size_bytes or hashlib.sha256(data).hexdigest() != claim.sha256:
            raise Poison("claim-mismatch", f"{claim.uri!r} holds other bytes than claimed: publish the document again")
        return data

    def _name(self, claim: Claim) -> str:
        name = claim.uri.removeprefix(f"{self.url}/")
        if name == claim.uri or not NAME.fullmatch(name):
            raise Poison("claim-outside-store", f"{claim.uri!r} is not an object of the store {self.url!r}")
        if self.url.startswith("file:") and Path(self.url.removeprefix("file://"), name).is_symlink():
            raise Poison("claim-outside-store", f"{claim.uri!r} is a link")
        return name
