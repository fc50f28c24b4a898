"""What HTTP answers and failures mean in the words of the ports, for every server that speaks HTTP."""

import math
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from processors.errors import Poison, Transient

CONNECT_TIMEOUT_S = 5.0
KEEPALIVE_S = 2.0
"""An idle connection is dropped before the server (llama.cpp: 5 s) drops it under us."""
MAX_CONNECTIONS = 256
BUSY_S = 0.5
"""Until a server that is busy, and asks for no time, is asked again: TEI on a CPU takes as long for 32 short texts.
With no time at all it would look broken to a pool, and waiting for it in vain would look like an outage to a caller."""
SAID_CHARS = 300

# OpenSSL's verdicts on a certificate: https://docs.openssl.org/3.0/man1/openssl-verification-options/
NAME_MISMATCH = (62, 64)
EXPIRED = 10


class Misdeployed(Transient):
    """A server that will refuse this until somebody changes the deployment.

    During a call that is an outage like any other: work waits and nothing is lost. At a start it is `Poison` under
    the same code (`at_start`), so that a worker refuses to begin.
    """

    def __init__(self, code: str, reason: str, *, status: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.status = status
        """Of the answer; a backend that knows what its server means by it may know whose fault it is."""


@contextmanager
def at_start() -> Iterator[None]:
    """Turn what is wrong with the deployment into Poison; in `open` and `check`."""
    try:
        yield
    except Misdeployed as error:
        raise Poison(error.code, error.reason) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpServer:
    """An address, the key for it, and what its answers mean. Holds no connection."""

    base: str
    """Scheme, host, port and path, without a slash at the end and without secrets."""
    setting: str
    """The port that the URL was set for, such as `embedder`; its key is the setting `embedder_key`."""
    key: str = field(default="", repr=False)
    ca_file: Path | None = None
    """PEM file of an authority that is trusted beside the public ones."""

    @classmethod
    def parse(
        cls, url: str, *, setting: str, known: Sequence[str], key: str = "", ca_file: Path | None = None
    ) -> tuple[Self, dict[str, str]]:
        """The server and the options that a URL such as `tei+http://host:8080?prompt=none` names.

        Poison: `bad-url`, `bad-key`.
        """
        try:
            parts = urlsplit(url.partition("+")[2])
            host, _ = parts.hostname, parts.port
            options = parse_qs(parts.query, keep_blank_values=True)
        except ValueError as error:
            raise Poison("bad-url", f"{setting}: {error}; write {_scheme(url)}://host:port") from None
        if "@" in parts.netloc:  # messages name the address, and reach callers
            problem = f"{setting}: put the key of {host!r} into {setting}_key, not into the URL"
            raise Poison("bad-url", problem)
        if not host or parts.scheme not in ("http", "https"):
            raise Poison("bad-url", f"{setting}: no host and port in it; write {_scheme(url)}://host:port")
        if unknown := [name for name in options if name not in known]:
            listed = ", ".join(known) or "none"
            raise Poison("bad-url", f"{setting}: {parts.netloc!r} has no option {unknown[0]!r}; known: {listed}")
        if not key.isascii() or not key.isprintable():
            raise Poison("bad-key", f"{setting}_key: no HTTP header can carry it: a line end or accent crept in")
        base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        server = cls(base=base, setting=setting, key=key, ca_file=ca_file)
        return server, {name: values[-1] for name, values in options.items()}

    def connection(self, *, answer_timeout_s: float, keepalive_s: float = KEEPALIVE_S) -> dict[str, Any]:
        """Arguments for `httpx.AsyncClient`: reads certificates, so it belongs into `open`. Poison: `bad-ca-file`."""
        import httpx

        return {
            "headers": {"Authorization": f"Bearer {self.key}"} if self.key else {},
            "timeout": httpx.Timeout(answer_timeout_s, connect=CONNECT_TIMEOUT_S),
            "limits": httpx.Limits(
                max_connections=MAX_CONNECTIONS, max_keepalive_connections=MAX_CONNECTIONS, keepalive_expiry=keepalive_s
            ),
            "verify": self._trust(),
            "trust_env": False,
        }

    def _trust(self) -> ssl.SSLContext | bool:
        import httpx

        # Loading the certificates takes a tenth of a second, for nothing where there is no TLS.
        if not self.base.startswith("https:"):
            return False
        context = httpx.create_ssl_context(trust_env=False)
        if self.ca_file:
            try:
                context.load_verify_locations(self.ca_file)
            except OSError as error:  # ssl.SSLError is one
                raise Poison("bad-ca-file", f"ca_file {str(self.ca_file)!r}: {error}; name a PEM file") from error
        return context

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what fails between us and the server as Transient, with its cause and the remedy."""
        import httpx

        try:
            yield
        except httpx.TimeoutException as error:
            raise Transient(f"{self.base} {_timeout(error)}; it is overloaded, hangs, or cannot be reached") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: Exception) -> Transient:
        causes = list(_causes(error))
        tls = next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None)
        if isinstance(tls, ssl.SSLCertVerificationError):
            said = f"{self.base} has a certificate that is not trusted: {tls.verify_message}"
            if tls.verify_code in NAME_MISMATCH:
                remedy = f"write the name that it was issued for into {self.setting}"
            elif tls.verify_code == EXPIRED:
                remedy = "renew it"
            else:
                remedy = "name the file of its authority in ca_file"
            return Misdeployed("tls", f"{said}; {remedy}")
        if tls:
            said = f"{self.base} fails to agree on TLS ({tls.reason or tls})"
            return Misdeployed("tls", f"{said}: if the server speaks plain HTTP, write http in {self.setting}")
        if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
            said = f"{self.base} refuses connections"
        else:
            said = f"{self.base} cannot be reached or hung up ({type(error).__name__}: {_cut(str(error))})"
        return Transient(f"{said}: is the server running, and {self.setting} its address?")

    def refusal(self, status: int, headers: Mapping[str, str], body: bytes) -> Transient:
        """What an answer other than the hoped for means.

        `Misdeployed` with its status for everything that repeats until something changes: the deployment, or, where
        the backend can prove it (400, 413, 422, 424), the input.
        """
        said = f"{self.base} answers {status}{self.said(body)}"
        if status in (401, 403):
            return Misdeployed("unauthorized", f"{said}; set {self.setting}_key to a key that is valid", status=status)
        asked_s = retry_after_s(headers)
        if status == 429:
            return Transient(f"{said}; it has too much to do", retry_after_s=BUSY_S if asked_s is None else asked_s)
        if status in (408, 425) or (status >= 500 and status != 501):
            return Transient(f"{said}; see the server's log", retry_after_s=asked_s)
        if 300 <= status < 400 or status in (404, 405, 501) or is_html(headers, body):
            return Misdeployed("bad-url", f"{said}; correct {self.setting}: path, port or server", status=status)
        remedy = f"check {self.setting}, its options, and the server's log"
        return Misdeployed("request-refused", f"{said}; {remedy}", status=status)

    def nonsense(self, problem: str, body: bytes = b"") -> Misdeployed:
        """An answer with a good status that is none: HTML, no JSON, or a wrong shape."""
        said = f"{self.base} answers 200, but {problem}{self.said(body)}"
        return Misdeployed("bad-answer", f"{said}; correct {self.setting}, or what stands between", status=200)

    def said(self, body: bytes) -> str:
        """The server's words for a message: short, on one line, without our key; empty where there are none."""
        text = body[: 8 * SAID_CHARS].decode(errors="replace")
        text = _cut(text.replace(self.key, "***") if self.key else text)
        return f": {text}" if text else ""


def is_html(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether a page for people came in place of an answer for programs."""
    start = body.lstrip()[:9].lower()
    return "text/html" in headers.get("content-type", "").lower() or start.startswith((b"<!doctype", b"<html"))


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The delay that a server asks for, given in seconds or as a date; none where it asks for none."""
    asked = headers.get("retry-after", "").strip()
    try:
        delay_s = float(asked)
    except ValueError:
        date, now = _date(asked), _date(headers.get("date", "")) or datetime.now(UTC)
        return max(0.0, (date - now).total_seconds()) if date else None
    return delay_s if math.isfinite(delay_s) and delay_s >= 0 else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _timeout(error: Exception) -> str:
    if type(error).__name__ == "ConnectTimeout":
        return f"accepted no connection within {CONNECT_TIMEOUT_S:g} s"
    if type(error).__name__ == "PoolTimeout":
        return f"has all {MAX_CONNECTIONS} connections in use"
    return f"did not answer in time ({type(error).__name__})"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _cut(text: str) -> str:
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= SAID_CHARS else f"{line[:SAID_CHARS]}..."


def _scheme(url: str) -> str:
    return url.partition("://")[0]
