"""Where a backup lies: files by name, below a folder or below a bucket's URL."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from processors.errors import Poison


class Archive:
    """Files that are whole or not there. Raises ConnectionError where the store does not do what it is asked."""

    def __init__(self, place: str, *, new: bool = False) -> None:
        """`place` is a folder, which may be missing where it is `new`, or a URL (`file`, `s3`, `gs`, `az`).

        Raises Poison where nothing can lie there.
        """
        self.url = place.rstrip("/") if "://" in place else Path(place).resolve().as_uri()
        parts = urlsplit(self.url)
        self._folder = Path(unquote(parts.path)) if parts.scheme == "file" else None
        try:
            self._store = _store(self.url, self._folder, new=new)
        except (BaseError, OSError, ValueError) as error:
            raise Poison("archive-unusable", f"{self.url!r} cannot hold a backup ({_line(error)}): check it") from error

    def names(self, below: str = "") -> Sequence[str]:
        """All files below a name, in no order."""
        with self._said():
            return [each["path"] for page in obstore.list(self._store, below or None, chunk_size=1000) for each in page]

    def put(self, name: str, data: bytes) -> None:
        """Keep `data`, in place of what had the name before."""
        with self._said():
            obstore.put(self._store, name, data)
            if self._folder:
                with (self._folder / name).open("rb") as file:
                    os.fsync(file.fileno())

    def get(self, name: str) -> bytes:
        with self._said():
            return bytes(obstore.get(self._store, name).bytes())

    def delete(self, name: str) -> None:
        with self._said():
            obstore.delete(self._store, name)

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise ConnectionError(f"the backup at {self.url}: {_line(error)}") from error


def _line(error: Exception) -> str:
    """What the client says, without what it says to its makers."""
    return " ".join(str(error).partition("\n\nDebug source")[0].split())


def _store(url: str, folder: Path | None, *, new: bool) -> ObjectStore:
    if folder is not None:
        return LocalStore(folder, mkdir=new)
    # A large file on a slow link takes its time, and whoever runs this has all night.
    return from_url(
        url,
        config=None,
        client_options={"timeout": "5min", "connect_timeout": "10s"},
        retry_config={"max_retries": 5, "retry_timeout": timedelta(minutes=3)},
    )
