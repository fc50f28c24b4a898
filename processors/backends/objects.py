"""Object store: documents too large for an event, below one URL, through obstore."""

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from processors.errors import Poison, Transient
from schemas import Claim

MAX_OBJECT_BYTES: Final = 256 * 1024 * 1024
REMOTE: Final[dict[str, Any]] = {
    "client_options": {"timeout": "30s", "connect_timeout": "5s"},
    "retry_config": {"max_retries": 2, "retry_timeout": timedelta(seconds=30)},
}
"""The runtime retries as well, so little patience is needed here."""


class UrlObjectStore:
    """Objects below a `file`, `s3`, `gs`, `az` or `memory` URL.

    An object of ours is named by its hash, so that writing it twice keeps one; a producer's own may have any name.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        self._remote = parts.scheme not in ("file", "memory")
        self._store: Any = None

    async def open(self) -> None:
        from obstore.store import from_url

        options = REMOTE if self._remote else {"mkdir": True} if self._folder else {}
        try:
            self._store = self._store or from_url(self.url if self._folder or self._remote else "memory://", **options)
        except (OSError, ValueError) as error:
            raise Poison("store-unusable", f"objects: {self.url!r} cannot be used ({error}): check the URL") from error

    async def close(self) -> None:
        self._store = None

    async def check(self) -> str:
        await self.get(await self.put(b"headwater"))
        return f"{self.url} keeps objects"

    async def put(self, data: bytes) -> Claim:
        if len(data) > MAX_OBJECT_BYTES:
            raise Poison("claim-too-large", f"{len(data):,} bytes; at most {MAX_OBJECT_BYTES:,}: split the document")
        sha256 = await _sha256(data)
        name = f"{sha256[:2]}/{sha256}"
        await self._put(name, data)
        return Claim(uri=f"{self.url}/{name}", sha256=sha256, size_bytes=len(data))

    async def get(self, claim: Claim) -> bytes:
        name = self._name(claim.uri)
        if claim.size_bytes > MAX_OBJECT_BYTES:
            raise Poison("claim-too-large", f"{claim.uri!r}: {claim.size_bytes:,} bytes; at most {MAX_OBJECT_BYTES:,}")
        data = await self._get(name, claim)
        if data is None or len(data) != claim.size_bytes or await _sha256(data) != claim.sha256:
            raise Poison("claim-mismatch", f"{claim.uri!r} holds other bytes than claimed: publish the document again")
        return data

    async def _put(self, name: str, data: bytes) -> None:
        import obstore
        from obstore.exceptions import BaseError

        try:
            await obstore.put_async(self._opened(), name, data)
        except (BaseError, OSError) as error:
            raise Transient(f"objects: {self.url}: {error}") from error

    async def _get(self, name: str, claim: Claim) -> bytes | None:
        """The object's bytes, or None where it is of another size than claimed."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = await obstore.get_async(self._opened(), name)
            if found.meta["size"] != claim.size_bytes:
                return None
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            raise Poison("claim-missing", f"{claim.uri!r} is not in the store: publish the document again") from None
        except (BaseError, OSError) as error:
            raise Transient(f"objects: {self.url}: {error}") from error

    def _opened(self) -> Any:
        if self._store is None:
            raise Transient(f"the object store {self.url!r} is not open")
        return self._store

    def _name(self, uri: str) -> str:
        """The object's name below the store's URL."""
        name = unquote(uri.removeprefix(f"{self.url}/"))
        inside = uri.startswith(f"{self.url}/") and name.isprintable() and "\\" not in name
        if not inside or any(part in ("", ".", "..") for part in name.split("/")) or self._leads_out(name):
            raise Poison(
                "claim-outside-store",
                f"{uri!r} is not an object below {self.url!r}, the only store that is read: publish with the same "
                "HEADWATER_OBJECTS (or HEADWATER_HOME) as the workers",
            )
        return name

    def _leads_out(self, name: str) -> bool:
        """Through a symbolic link, which only a folder can hold."""
        return self._folder is not None and not (self._folder / name).resolve().is_relative_to(self._folder.resolve())


async def _sha256(data: bytes) -> str:
    # In a thread: 256 MB take 0.3 s, and hashing releases the interpreter lock.
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
