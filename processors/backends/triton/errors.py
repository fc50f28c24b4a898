"""What a Triton server's status codes and words mean in those of the ports."""

import re

from processors.backends.http import BUSY_S, Misdeployed
from processors.backends.triton.url import TritonUrl
from processors.errors import Transient

SAID_CHARS = 300
TLS = ("ssl", "tls", "certificate", "handshake", "wrong_version_number")
PEER_NAME = re.compile(r"peer name \S+ is not in peer certificate|hostname verification", re.IGNORECASE)
RESTRICTED = re.compile(r"protocol is restricted, expecting header '([^']+)'", re.IGNORECASE)
GONE = re.compile(r"unknown model|is not found|is not ready|no available versions|not at ready state", re.IGNORECASE)
CONTROL = re.compile(r"explicit model load", re.IGNORECASE)
NOT_GRPC = re.compile(r"failed parsing http/2(?!.*http status (429|5))", re.IGNORECASE)
"""Something that speaks HTTP/1, unless it says that it is a gateway whose server is busy or away."""
BUSY = re.compile(r"exceeds? maximum queue size|request timeout expired", re.IGNORECASE)
TOO_LONG = re.compile(
    r"too long|longer than the maximum|\b(context|input|model|sequence) length|\bexceeds?\b.{0,40}\b(context|max_\w+)",
    re.IGNORECASE,
)


class ModelFailed(Misdeployed):
    """The server is there, and the model raised, or refused what it was given. It may be the input's fault."""

    def __init__(self, reason: str) -> None:
        super().__init__("model-failed", reason)

    @property
    def too_long(self) -> bool:
        """Whether it said that the input exceeds what it can read."""
        return bool(TOO_LONG.search(self.reason))


def meaning(url: TritonUrl, status: str | None, message: str) -> Transient:
    """The error to raise; `status` is gRPC's code as text, and none for an error within a stream."""
    code = (status or "").removeprefix("StatusCode.")
    return _said(url, code, message) or _coded(url, code, message)


def _said(url: TritonUrl, code: str, message: str) -> Transient | None:
    """By the server's words, for which it has few codes."""
    said = _cut(message)
    if named := RESTRICTED.search(message):
        remedy = f"add token_header={named.group(1)} to its URL and set {url.setting}_key"
        return Misdeployed("unauthorized", f"{url} refuses the call ({said}); {remedy}")
    if CONTROL.search(message):
        remedy = "remove load=true from the URL, or start the server with --model-control-mode=explicit"
        return Misdeployed("model-control", f"{url}: {said}; {remedy}")
    if GONE.search(message) or code == "NOT_FOUND":
        return Misdeployed("model-not-ready", f"{url}: {said}; load the model, or see the server's log")
    if BUSY.search(message) or code == "RESOURCE_EXHAUSTED":
        return Transient(f"{url} has too much to do: {said}", retry_after_s=BUSY_S)
    return None


def _coded(url: TritonUrl, code: str, message: str) -> Transient:
    said = _cut(message)
    match code:
        case "UNAVAILABLE":
            return _unavailable(url, message)
        case "DEADLINE_EXCEEDED":
            error = Transient(f"{url} did not answer in time; it is overloaded, hangs, or cannot be reached")
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            remedy = f"set {url.setting}_key to a key that is valid"
            error = Misdeployed("unauthorized", f"{url} answers {code}: {said}; {remedy}")
        case "UNIMPLEMENTED":
            error = Misdeployed("bad-url", f"{url} answers {code}: {said}; that is no Triton: correct {url.setting}")
        case "CANCELLED":
            error = Transient(f"{url}: the call was given up: {said}; see the server's log")
        case _:
            error = ModelFailed(f"{url}: {said or 'the model failed'}; see the server's log")
    return error


def _unavailable(url: TritonUrl, message: str) -> Transient:
    said = _cut(message)
    if NOT_GRPC.search(message):
        return Misdeployed("bad-url", f"{url} does not speak gRPC ({said}); that is no Triton: correct {url.setting}")
    if url.tls and PEER_NAME.search(message):
        problem = f"{url} has a certificate that was issued for another name ({said})"
        return Misdeployed("tls", f"{problem}; write the name that it was issued for into {url.setting}")
    if url.tls and any(word in message.lower() for word in TLS):
        problem = f"{url} fails to agree on TLS, or its certificate is not trusted ({said})"
        return Misdeployed("tls", f"{problem}; name its authority in ca_file, renew it, or write triton+grpc://")
    return Transient(f"{url} cannot be reached: {said}; is the server running, and {url.setting} its address?")


def _cut(text: str) -> str:
    line = re.sub(r"\s+", " ", text).strip()
    return line if len(line) <= SAID_CHARS else f"{line[:SAID_CHARS]}..."
