"""A pool over real servers: one is killed amid load, one comes back, one is replaced by another model."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from processors.conformance import embedder as checks
from processors.errors import Poison
from processors.ports import Embedder
from streams.composition import Backends
from streams.pools import circuit
from streams.pools.ports import PooledEmbedder
from streams.settings import Settings
from tests.servers.tei.process import Tei, tei

CALLERS, EACH = 6, 15


@pytest.fixture(scope="module")
def standing() -> Iterator[list[Tei]]:
    """Two servers that live as long as the module."""
    with ExitStack() as servers:
        yield [servers.enter_context(tei("--threads", "1")) for _ in range(2)]


@asynccontextmanager
async def pooled(home: Path, *servers: Tei) -> AsyncIterator[PooledEmbedder]:
    settings = Settings(home=home, embedder=tuple(f"tei+{server.url}" for server in servers))
    embedder = Backends(settings).embedder
    assert isinstance(embedder, PooledEmbedder)
    try:
        await embedder.open()
        yield embedder
    finally:
        await embedder.close()


async def ask(embedder: Embedder, *, amid: asyncio.Event | None = None) -> int:
    """Questions from several callers at once, `amid` set when a third is answered; how many got an answer."""
    answered = 0

    async def caller(name: int) -> None:
        nonlocal answered
        for number in range(EACH):
            vectors = await embedder.embed([f"What does caller {name} ask as number {number}?"], role="query")
            assert vectors.shape == (1, embedder.dimensions)
            answered += 1
            if amid is not None and answered == CALLERS * EACH // 3:
                amid.set()

    await asyncio.gather(*(caller(name) for name in range(CALLERS)))
    return answered


async def test_a_pool_of_real_servers_keeps_the_embedders_contract(standing: list[Tei], tmp_path: Path) -> None:
    async with pooled(tmp_path, *standing) as embedder:
        await checks.rows_are_finite_and_of_unit_length(embedder)
        await checks.rows_come_in_the_order_of_the_texts(embedder)
        assert (await embedder.check()).startswith("2 of 2 instances: ")


async def test_a_server_killed_amid_load_fails_no_question_and_costs_each_at_most_one_retry(
    standing: list[Tei], tmp_path: Path
) -> None:
    with tei("--threads", "1") as doomed:
        async with pooled(tmp_path, doomed, *standing) as embedder:
            amid = asyncio.Event()
            asking = asyncio.create_task(ask(embedder, amid=amid))
            await amid.wait()
            doomed.kill()
            assert await asking == CALLERS * EACH
            states = {state.url: state for state in embedder.pool.roster.states()}
            dead = states[f"tei+{doomed.url}"]
            assert dead.state in ("open", "half-open")
            # Those under way when it died, three in a row, and a trial now and then.
            assert 1 <= dead.errors <= CALLERS + circuit.FAILURES_IN_A_ROW + 5
            assert all(state.errors == 0 for url, state in states.items() if url != dead.url)

            with tei("--threads", "1", port=doomed.port):
                while embedder.pool.roster.states()[0].state != "closed":
                    await ask(embedder)
                assert await ask(embedder) == CALLERS * EACH


async def test_servers_whose_vectors_differ_are_refused_by_both_names(standing: list[Tei], tmp_path: Path) -> None:
    one, other = f"tei+{standing[0].url}", f"tei+{standing[1].url}?query_prefix=query:%20"
    embedder = Backends(Settings(home=tmp_path, embedder=(one, other))).embedder
    try:
        with pytest.raises(Poison) as refused:
            await embedder.open()
    finally:
        await embedder.close()
    assert refused.value.code == "pool-mismatch"
    assert one in refused.value.detail
    assert other in refused.value.detail
