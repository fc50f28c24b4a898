"""A pool over real servers: one is killed amid load, one comes back, one is replaced by another model."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from processors.conformance import embedder as checks
from processors.errors import Poison, Transient
from processors.ports import Embedder
from streams import provisioning
from streams.composition import Backends
from streams.pools import circuit, states
from streams.pools.health import PROBE_EVERY_S
from streams.pools.ports import PooledEmbedder
from streams.runtime.clock import SystemClock
from streams.runtime.retry import Retry
from streams.settings import Settings
from tests.servers.tei.exchanges import Json
from tests.servers.tei.process import Tei, tei
from tests.servers.tei.replay import Caller, request
from tests.servers.tei.replay import ask as tei_answers
from tests.streams.test_worker import read_until_ready, start

CALLERS, EACH = 6, 15
PERMITS = 512
BUSY_S = 1.2 * PROBE_EVERY_S
"""So long that the servers are asked for their health meanwhile."""


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


async def test_a_server_that_becomes_slow_loses_most_of_its_share(standing: list[Tei], tmp_path: Path) -> None:
    slow = standing[0]
    slow.slow_down(10)
    try:
        async with pooled(tmp_path, *standing) as embedder:
            for _ in range(3):
                await ask(embedder)
            shares = {state.url: state.share for state in embedder.pool.roster.states()}
    finally:
        slow.slow_down(1)
    assert shares[f"tei+{slow.url}"] < 0.25


@contextmanager
def taken(*servers: Tei) -> Iterator[None]:
    """Somebody else holds every permit of these servers, which answer 429 until he leaves."""
    held: dict[str, Json] = {"method": "POST", "path": "/embed", "body": {"inputs": {"$repeat": ["foxes", PERMITS]}}}
    metrics: dict[str, Json] = {"method": "GET", "path": "/metrics"}
    with ExitStack() as callers:
        for server in servers:
            server.slow_down(50)
            callers.enter_context(Caller(server.port)).send(request(held))
            while b"te_queue_size 0" in tei_answers(server.port, metrics).body:
                time.sleep(0.01)
        yield
        for server in servers:
            server.slow_down(1)


async def test_callers_of_a_pool_that_is_busy_for_long_wait_and_no_circuit_opens(tmp_path: Path) -> None:
    refused: list[Transient] = []

    async def answered(embedder: Embedder, number: int) -> int:
        vectors = await Retry().run(
            lambda: embedder.embed([f"What does caller {number} ask?"], role="query"),
            clock=SystemClock(),
            on_retry=lambda _attempt, error, _delay_s: refused.append(error),
        )
        return len(vectors)

    sizes = {"--max-concurrent-requests": PERMITS, "--max-client-batch-size": PERMITS, "--max-batch-tokens": 16}
    flags = ["--threads", "1", *(str(part) for size in sizes.items() for part in size)]
    with tei(*flags) as one, tei(*flags) as other:
        async with pooled(tmp_path, one, other) as embedder:
            with taken(one, other):
                asking = [asyncio.create_task(answered(embedder, number)) for number in range(CALLERS)]
                await asyncio.sleep(BUSY_S)
                busy = embedder.pool.roster.states()
                assert not any(task.done() for task in asking)
            assert await asyncio.gather(*asking) == [1] * CALLERS
            after = embedder.pool.roster.states()
    assert {state.state for state in busy} <= {"closed", "excluded"}
    assert [state.state for state in after] == ["closed", "closed"]
    assert all("429" in state.last_error for state in busy)
    assert all(error.retry_after_s is not None for error in refused)
    # Nobody asks a server again within the half second that it rests.
    assert max(state.errors for state in after) <= CALLERS * BUSY_S / 0.5


async def test_a_name_is_resolved_by_the_system_and_addresses_where_nobody_listens_are_left_out(
    standing: list[Tei], tmp_path: Path
) -> None:
    url = f"tei+http://localhost:{standing[0].port}?resolve=all"
    embedder = Backends(Settings(home=tmp_path, embedder=url)).embedder
    assert isinstance(embedder, PooledEmbedder)
    try:
        await embedder.open()
        assert (await embedder.embed(["one"], role="query")).shape == (1, 384)
        states = {state.url: state.state for state in embedder.pool.roster.states()}
        assert states[f"tei+http://127.0.0.1:{standing[0].port}"] == "closed"
    finally:
        await embedder.close()


@pytest.mark.stack
def test_a_worker_shows_its_pools_until_it_ends(standing: list[Tei], stack: Settings, tmp_path: Path) -> None:
    urls = tuple(f"tei+{server.url}" for server in standing)
    prefix = f"pools-{uuid4().hex[:8]}-"
    index = f"milvus+http://127.0.0.1:{stack.local.milvus_port}/{prefix.replace('-', '_')}"
    about = {"home": tmp_path, "kafka": stack.kafka_url, "topic_prefix": prefix, "index": index, "embedder": urls}
    settings = stack.model_copy(update=about)
    provisioning.apply(settings, provisioning.plan(settings))
    for end in (signal.SIGTERM, signal.SIGKILL):
        worker = start(settings, "--stages", "embed", folder=tmp_path)
        try:
            read_until_ready(worker)
            [shown] = shown_by(tmp_path)
            assert [pool.port for pool in shown.pools] == ["embedder"]
            assert tuple(instance.url for instance in shown.pools[0].instances) == urls
            worker.send_signal(end)
            worker.communicate(timeout=60)
        finally:
            worker.kill()
            worker.communicate()
        left = 1 if end == signal.SIGKILL else 0
        assert len(list((tmp_path / "pools").iterdir())) == left
        assert states.read(tmp_path) == []
        assert list((tmp_path / "pools").iterdir()) == []


def shown_by(home: Path) -> list[states.WorkerPools]:
    """What the workers of this home say, once they say it."""
    until = time.monotonic() + 30
    while not (shown := states.read(home)) and time.monotonic() < until:
        time.sleep(0.1)
    return shown


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
