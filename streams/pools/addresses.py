"""Addresses: a name that stands for several instances becomes one URL for each."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from processors.errors import Poison, Transient

RESOLVE = "resolve"
ENCRYPTED = ("https", "grpcs")

Resolve = Callable[[str, int], Awaitable[frozenset[str]]]
"""The addresses of a host, as text. Raises Transient."""


def names_many(url: str) -> bool:
    """Whether `url` carries `resolve=all`: its host is a name with an address for each instance.

    Raises Poison where that cannot work.
    """
    parts = urlsplit(url)
    wanted = [value for name, value in parse_qsl(parts.query, keep_blank_values=True) if name == RESOLVE]
    if not wanted:
        return False
    if wanted != ["all"]:
        raise Poison("bad-url", f"{url!r}: resolve={wanted[-1]} is not known; write resolve=all, or leave it out")
    if parts.scheme.endswith(ENCRYPTED):
        # The certificate names the service, and adapters verify the host that their URL names.
        problem = "with resolve=all the instances are dialled by address, which no certificate names"
        raise Poison("bad-url", f"{url!r}: {problem}: list the instances by name, or encrypt in the service mesh")
    if not parts.hostname or parts.port is None:
        raise Poison("bad-url", f"{url!r}: resolve=all needs a host and a port")
    return True


def plain(url: str) -> str:
    """The URL without the option, as a backend takes it."""
    return _without_option(urlsplit(url)).geturl()


async def instances(url: str, resolve: Resolve) -> frozenset[str]:
    """The URLs of all instances behind the name in `url`. Raises Transient where it does not resolve."""
    parts = _without_option(urlsplit(url))
    assert parts.hostname
    assert parts.port is not None
    found = await resolve(parts.hostname, parts.port)
    return frozenset(parts._replace(netloc=f"{_bracketed(address)}:{parts.port}").geturl() for address in found)


async def by_dns(host: str, port: int) -> frozenset[str]:
    """What the system's resolver knows now."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"the name {host!r} does not resolve: {error}; check the service's name") from error
    return frozenset(str(address[0]) for *_, address in found)


def _without_option(parts: SplitResult) -> SplitResult:
    rest = [option for option in parts.query.split("&") if option.partition("=")[0] != RESOLVE]
    return parts._replace(query="&".join(rest))


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
