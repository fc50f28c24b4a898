"""TEI's ports as tests open them, and the stand-in as they start it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from processors.backends.tei.ports import TeiEmbedder, TeiReranker, TeiSparseEncoder
from tests.servers.tei.flags import parse
from tests.servers.tei.model import MiniLm
from tests.servers.tei.process import Tei
from tests.servers.tei.server import Server

P = TypeVar("P", bound=TeiEmbedder | TeiReranker | TeiSparseEncoder)


@asynccontextmanager
async def opened(port: P) -> AsyncIterator[P]:
    try:
        await port.open()
        yield port
    finally:
        await port.close()


@asynccontextmanager
async def serving(*flags: str) -> AsyncIterator[Server]:
    """A stand-in with these flags in this process: there at once, and it can be looked into."""
    parsed = parse(flags)
    server = Server(parsed, MiniLm(parsed))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def at(server: Server | Tei) -> str:
    return f"tei+http://127.0.0.1:{server.port}"
