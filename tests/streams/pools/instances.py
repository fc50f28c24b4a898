"""Instances without a network, and a pool around them whose time a test moves on."""

import asyncio
import random
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from processors.errors import Poison, Transient
from processors.ports import Fragment, Role, Vectors
from schemas import AnswerMode, Passage
from streams.pools.health import Health
from streams.pools.pool import Pool, Surroundings
from streams.pools.ports import PooledEmbedder, PooledGenerator
from streams.pools.states import Board
from streams.settings import Instance
from tests.streams.pools.clocks import SteppedClock


class Scripted:
    """An embedder and generator that does what a test says: `trouble` is raised, `hold` is waited for."""

    mode: AnswerMode = "generative"

    def __init__(self, url: str) -> None:
        self.url = url
        self.model = "m1"
        self.dimensions = 2
        self.trouble: Exception | None = None
        self.closed_door: Exception | None = None
        """Raised by `open`."""
        self.slow_door: asyncio.Event | None = None
        """`open` waits for it."""
        self.break_after: int | None = None
        """Fragments after which a stream breaks off."""
        self.hold: asyncio.Event | None = None
        self.ill = ""
        self.calls = self.probes = 0
        self.is_open = False
        self.streams = 0
        """Under way now."""

    async def open(self) -> None:
        if self.closed_door:
            raise self.closed_door
        if self.slow_door:
            await self.slow_door.wait()
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def check(self) -> str:
        if self.trouble:
            raise self.trouble
        return f"{self.model} at {self.url}"

    async def healthy(self) -> None:
        self.probes += 1
        if self.ill:
            raise Transient(self.ill)

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        await self._work()
        return np.zeros((len(texts), self.dimensions), np.float32)

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        self.streams += 1
        try:
            await self._work()
            for number in range(3):
                if number == self.break_after:
                    raise Transient(f"{self.url} broke off")
                yield Fragment(text=f"{number} ")
        finally:
            self.streams -= 1

    async def _work(self) -> None:
        if not self.is_open:
            raise AssertionError(f"{self.url} was called while it was not open")
        self.calls += 1
        if self.hold:
            await self.hold.wait()
        if self.trouble:
            raise self.trouble


class Names:
    """A name server that a test rewrites."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = frozenset(addresses)
        self.away = False

    async def __call__(self, host: str, port: int) -> frozenset[str]:
        if self.away:
            raise Transient("no name server")
        return self.addresses


class Scene:
    """A pool of scripted instances."""

    def __init__(self, home: Path, *named: str | Instance) -> None:
        self.clock = SteppedClock()
        self.names = Names()
        self.by_url: dict[str, Scripted] = {}
        self.home = home
        instances = [each if isinstance(each, Instance) else Instance(url=each) for each in named]
        around = Surroundings(
            clock=self.clock,
            board=Board(home),
            health=Health(home, self.clock),
            dice=random.Random(1),
            resolve=self.names,
        )
        self.pool: Pool[Scripted] = Pool("embedder", instances, self.build, around)
        shared: Any = self.pool
        self.embedder = PooledEmbedder(shared)
        self.generator = PooledGenerator(shared)

    def build(self, url: str) -> Scripted:
        if "bad" in url:
            raise Poison("bad-url", f"{url!r} cannot work")
        return self.by_url.setdefault(url, Scripted(url))

    def states(self) -> dict[str, str]:
        return {state.url: state.state for state in self.pool.roster.states()}

    async def embed(self, count: int = 1) -> None:
        for _ in range(count):
            await self.embedder.embed(["text"], role="query")

    async def __aenter__(self) -> Self:
        await self.pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pool.close()
