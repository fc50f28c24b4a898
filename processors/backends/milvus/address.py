"""Which collection of which server an index URL names."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from processors.errors import Poison

FORM = "milvus+http(s)://host:port/[database/]collection[?staleness_s=SECONDS]"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
OPTIONS = ("staleness_s",)
MAX_STALENESS_S = 60.0


@dataclass(frozen=True, slots=True)
class MilvusAddress:
    """Where an index lives. Messages name it, so it holds no secret."""

    uri: str
    """Scheme, host and port."""
    database: str
    """Empty: the server's default."""
    collection: str
    staleness_s: float | None
    """How far searches may lag behind writes; none: what suits the server."""

    @classmethod
    def parse(cls, url: str) -> "MilvusAddress":
        """Poison `bad-url` where the URL does not have the form above."""
        try:
            parts = urlsplit(url.removeprefix("milvus+"))
            options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise Poison("bad-url", f"index: {error}; write {FORM}") from None
        if "@" in parts.netloc:  # messages name the address, and reach producers and callers
            raise Poison("bad-url", f"index: put USER:PASSWORD of {host!r} into index_token, not into the URL")
        path = [part for part in parts.path.split("/") if part]
        if not host or len(path) > 2 or not all(NAME.fullmatch(part) for part in path):
            raise Poison("bad-url", f"index {url!r}: write {FORM}; names consist of letters, digits and underscores")
        if unknown := [name for name in options if name not in OPTIONS]:
            listed = ", ".join(OPTIONS)
            raise Poison("bad-url", f"index: {parts.netloc!r} has no option {unknown[0]!r}; known: {listed}")
        return cls(
            uri=f"{parts.scheme}://{parts.netloc}",
            database=path[0] if len(path) == 2 else "",
            collection=path[-1] if path else "headwater",
            staleness_s=_seconds(options.get("staleness_s")),
        )


def _seconds(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_STALENESS_S:
        raise Poison("bad-url", f"index: staleness_s={given} is no number of seconds from 0 to {MAX_STALENESS_S:.0f}")
    return seconds
