"""What a Milvus server's refusals mean, and what to do about each."""

import asyncio
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from processors.backends.http import Misdeployed
from processors.errors import Poison, Transient

# https://github.com/milvus-io/milvus/blob/master/pkg/util/merr/errors.go; Milvus Lite has some of its own.
UNAVAILABLE, OUT_OF_MEMORY, TOO_MANY, OUT_OF_DISK, RATE_LIMIT, QUOTA, CLOCK_LAGS = 2, 3, 4, 7, 8, 9, 11
NOT_FOUND, NOT_LOADED, NOT_FULLY_LOADED, RECOVERING = 100, 101, 103, 106
NO_DATABASE = 800
BAD_INPUT = frozenset({6, 1100, 1101, 1102})
"""Illegal argument in Milvus Lite; parameter invalid, missing and too large in a cluster."""
UNAUTHORISED = frozenset({1400, 1401, 1800, 1801})
UNEXPECTED = 65_535
"""Before 2.4 a server says so of nearly everything."""
BAD_INPUT_WORDS = (
    "cannot parse expression",
    "should divide the dim",
    "not a number",
    "exceeds max length",
    "dimension",
)
UNAUTHORISED_WORDS = (
    "auth check failure",
    "not authenticated",
    "unauthenticated",
    "permission deny",
    "permissiondenied",
)
QUOTA_WORDS = ("quota exhausted", "quota exceeded", "memory limit", "memory quota", "disk quota", "deny to write")
RATE_WORDS = ("rate limit", "request is rejected", "too many requests")
QUOTA_RETRY_S, RATE_RETRY_S = 10.0, 1.0
"""Memory is given back by the minute; a rate is counted by the second."""
NO_SUCH_DATABASE = re.compile(r"database.* (not found|does not exist)")
HANDSHAKE_S = 5.0
NOT_GRPC = re.compile(r"failed parsing http/2(?!.*http status (429|5))", re.IGNORECASE)
"""Something that speaks HTTP/1, unless it says that it is a gateway whose server is busy or away."""


class CollectionMissing(Transient):
    """The collection was dropped behind our back; the next write creates it again."""


class NotLoaded(Transient):
    """The server restarted and has not loaded the collection."""


def of_server(error: Any, said: str, *, is_input: bool) -> Poison | Transient:
    """A MilvusException in our words; `is_input` where the client refused it before it was sent."""
    words = str(error.message).lower()
    failure = _of_state(error.code, words, said) or _of_deployment(error.code, words, said)
    if failure is not None:
        return failure
    bad_input = error.code in BAD_INPUT or (error.code == UNEXPECTED and any(word in words for word in BAD_INPUT_WORDS))
    if bad_input or error.is_input_error or is_input:
        return Poison("index-refused", said)
    return Transient(said)


def _of_state(code: object, words: str, said: str) -> Transient | None:
    """What passes, by itself or with more room."""
    if code == NOT_FOUND and not NO_SUCH_DATABASE.search(words):
        return CollectionMissing(f"{said}: it was dropped, or `headwater index apply` is at work")
    if code in (NOT_LOADED, NOT_FULLY_LOADED, RECOVERING):
        return NotLoaded(f"{said}: it is being loaded")
    if code in (OUT_OF_MEMORY, OUT_OF_DISK, QUOTA) or any(word in words for word in QUOTA_WORDS):
        room = "give its query nodes more memory or disk, or see `headwater index plan` for an index that needs less"
        return Transient(f"{said}: {room}", retry_after_s=QUOTA_RETRY_S)
    if code in (RATE_LIMIT, TOO_MANY) or any(word in words for word in RATE_WORDS):
        limits = "raise quotaAndLimits on the server, or run fewer workers"
        return Transient(f"{said}: {limits}", retry_after_s=RATE_RETRY_S)
    if code == CLOCK_LAGS:
        return Transient(f"{said}: its nodes cannot keep up; give them more CPU", retry_after_s=RATE_RETRY_S)
    return None


def _of_deployment(code: object, words: str, said: str) -> Transient | None:
    """What stays until somebody changes a setting or the server."""
    if code in UNAUTHORISED or any(word in words for word in UNAUTHORISED_WORDS):
        return Misdeployed("unauthorized", f"{said}: correct index_token (USER:PASSWORD or an API key), or its rights")
    if code == NO_DATABASE or NO_SUCH_DATABASE.search(words):
        return Misdeployed("no-database", f"{said}: `headwater index apply` creates the database of the index URL")
    if "unimplemented" in words:
        return Misdeployed("too-old", f"{said}: the server is too old for this; use Milvus 2.4 or later")
    if code == UNAVAILABLE or "server unavailable" in words or "statuscode.unavailable" in words:
        return Transient(f"{said}: is it running, and does the index URL name it?")
    if "timeout" in words or "deadline" in words:
        return Transient(f"{said}: it did not answer in time; is it overloaded or unreachable?")
    return None


def of_transport(error: Any, about: str) -> Transient:
    """What gRPC says of a call that brought no message."""
    code = getattr(error.code(), "name", "") if callable(getattr(error, "code", None)) else ""
    details = error.details() if callable(getattr(error, "details", None)) else str(error)
    said = f"{about}: {details} ({code or type(error).__name__})"
    match code:
        case "UNIMPLEMENTED":
            return Misdeployed("too-old", f"{said}: is this Milvus, and 2.4 or later?")
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return Misdeployed("unauthorized", f"{said}: correct index_token (USER:PASSWORD or an API key)")
        case _ if NOT_GRPC.search(said):
            return Misdeployed("bad-url", f"{said}: that is no Milvus; correct the index URL: port or server")
        case "RESOURCE_EXHAUSTED":
            remedy = "the message is larger than the server takes, or it is overloaded"
        case "DEADLINE_EXCEEDED":
            remedy = "it did not answer in time; is it overloaded or unreachable?"
        case "UNAVAILABLE" | "":
            remedy = "is it running, and does the index URL name it?"
        case _:
            remedy = "see the log of the server, or of what stands between"
    return Transient(f"{said}: {remedy}")


async def handshake(url: str, ca_file: str | None) -> None:
    """Raise Misdeployed where a server does not speak TLS as the URL says: gRPC only tells that nothing answers."""
    parts = urlsplit(url)
    address = f"milvus at {url}"
    host, port = parts.hostname or "", parts.port or 443
    try:
        context = ssl.create_default_context(cafile=ca_file)
        async with asyncio.timeout(HANDSHAKE_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        remedy = "name the server as its certificate does, or its authority in ca_file"
        raise Misdeployed("tls", f"{address}: {error.verify_message}: {remedy}") from error
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise Misdeployed("tls", f"{address}: {reason}: does it speak TLS? without, write milvus+http://") from error
    except (OSError, TimeoutError):
        return  # nobody is there: what gRPC said holds
    writer.close()
