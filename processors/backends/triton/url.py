"""Where a Triton server is, and which of its models is meant."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qs, urlsplit

from processors.errors import Poison

FORM = "triton+grpc://host:port/model"
HEADER = re.compile(r"[a-z0-9_.-]+")
COMMON = ("load", "token_header")


@dataclass(frozen=True, slots=True)
class TritonUrl:
    """`triton+grpc(s)://host:port/model`, taken apart. As a string: how messages name the model."""

    address: str
    model: str
    tls: bool
    setting: str
    """The port that it was set for, such as `embedder`; its key is the setting `embedder_key`."""
    load: bool = False
    """Ask the server to load the model where it is not."""
    token_header: str = ""
    """Where the key goes; empty: `authorization`, as a bearer token."""

    @classmethod
    def parse(cls, url: str, *, setting: str, known: Sequence[str] = ()) -> tuple[Self, dict[str, str]]:
        """The place, and the options of `known` that are given. Poison: `bad-url`."""
        try:
            parts = urlsplit(url.removeprefix("triton+"))
            host, port = parts.hostname, parts.port
            options = {name: each[-1] for name, each in parse_qs(parts.query, keep_blank_values=True).items()}
        except ValueError as error:
            raise Poison("bad-url", f"{setting}: {error}; write {FORM}") from None
        if "@" in parts.netloc:  # messages name the address, and reach callers
            raise Poison("bad-url", f"{setting}: put the key of {host!r} into {setting}_key, not into the URL")
        model = parts.path.strip("/")
        if not host or not port or not model or "/" in model or parts.scheme not in ("grpc", "grpcs"):
            raise Poison("bad-url", f"{setting}: host, port or model is missing or wrong; write {FORM}")
        if unknown := [name for name in options if name not in (*COMMON, *known)]:
            listed = ", ".join((*COMMON, *known))
            raise Poison("bad-url", f"{setting}: {parts.netloc!r} has no option {unknown[0]!r}; known: {listed}")
        load, header = options.pop("load", "false"), options.pop("token_header", "")
        if header and not HEADER.fullmatch(header.lower()):
            raise Poison("bad-url", f"{setting}: token_header={header!r} is no name of a header")
        if load not in ("true", "false"):
            raise Poison("bad-url", f"{setting}: load={load!r} is neither true nor false")
        return cls(parts.netloc, model, parts.scheme == "grpcs", setting, load == "true", header.lower()), options

    def headers(self, key: str) -> dict[str, str]:
        """What carries the key. Poison: `bad-key`."""
        if not key.isascii() or (key and not key.isprintable()):
            raise Poison("bad-key", f"{self.setting}_key: no header can carry it: a line end or accent crept in")
        if not key:
            return {}
        return {self.token_header: key} if self.token_header else {"authorization": f"Bearer {key}"}

    def __str__(self) -> str:
        return f"triton+grpc{'s' if self.tls else ''}://{self.address}/{self.model}"
