"""What several callers do to one stand-in, and what rough ones get."""

import time
from collections.abc import Callable

import httpx
import pytest

from tests.servers.tei import exchanges
from tests.servers.tei.exchanges import Json
from tests.servers.tei.replay import Caller, Stage, ask, request
from tests.servers.tei.server import Server

MINILM = "--model-id minilm"
LONG: Json = {"inputs": {"$repeat": [{"$text": ["foxes", 60]}, 32]}}
SHORT: Json = {"inputs": "hello world"}
HEALTH: dict[str, Json] = {"method": "GET", "path": "/health"}


def embed(body: Json) -> dict[str, Json]:
    return {"method": "POST", "path": "/embed", "body": body}


@pytest.fixture
def crowded(stand_ins: Stage) -> Server:
    """Room for one list of 32 texts."""
    return stand_ins.fresh(f"{MINILM} --max-concurrent-requests 32", "--slow-factor", "3")


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def busy(server: Server, caller: Caller, body: Json = LONG) -> None:
    """Send a request, and wait until it holds its permits."""
    before = server.engine.free
    caller.send(request(embed(body)))
    eventually(lambda: server.engine.free < before)


def test_a_caller_who_hangs_up_gives_all_permits_back(crowded: Server) -> None:
    with Caller(crowded.port) as caller:
        busy(crowded, caller)
        eventually(lambda: crowded.engine.queued > 0)
        assert ask(crowded.port, embed(SHORT)).status == 429
    eventually(lambda: crowded.engine.free == 32)
    assert ask(crowded.port, embed(SHORT)).status == 200
    assert crowded.engine.counts['te_request_failure{err="dropped"}'] > 0
    assert crowded.engine.counts["te_embed_success"] < 32


def test_a_caller_who_ends_sending_counts_as_gone(crowded: Server) -> None:
    with Caller(crowded.port) as caller:
        busy(crowded, caller)
        caller.end()
        with pytest.raises(ConnectionError):
            caller.answer()
    eventually(lambda: crowded.engine.free == 32)


def test_a_caller_over_http2_who_hangs_up_gives_all_permits_back(stand_ins: Stage) -> None:
    server = stand_ins.fresh(f"{MINILM} --max-concurrent-requests 32", "--slow-factor", "5")
    address = f"http://127.0.0.1:{server.port}"
    with httpx.Client(http1=False, http2=True, timeout=0.5) as client, pytest.raises(httpx.ReadTimeout):
        client.post(f"{address}/embed", content=exchanges.body(LONG), headers={"content-type": "application/json"})
    eventually(lambda: server.engine.free == 32)
    assert server.engine.counts['te_request_failure{err="dropped"}'] > 0


def test_health_answers_under_load(crowded: Server) -> None:
    with Caller(crowded.port) as caller:
        busy(crowded, caller)
        assert ask(crowded.port, HEALTH).status == 200
        assert crowded.engine.free == 0


def test_permits_come_back_whatever_the_answer(crowded: Server) -> None:
    requests: list[Json] = [["a", "b"], ["a", ""], {"$repeat": ["a", 33]}, [{"$text": ["words", 400]}]]
    for inputs in requests:
        ask(crowded.port, embed({"inputs": inputs, "truncate": False}))
        assert crowded.engine.free == 32


def test_slow_and_idle_callers_are_waited_for(stand_ins: Stage) -> None:
    data = request(embed(SHORT))
    with Caller(stand_ins.server(MINILM).port) as caller:
        for cut in (0, 20, len(data) - 5):
            caller.send(data[:cut])
            time.sleep(0.05)
            caller.send(data[cut:])
            assert caller.answer().status == 200


def test_a_body_far_over_the_limit_is_not_read_to_its_end(stand_ins: Stage) -> None:
    with Caller(stand_ins.server(MINILM).port) as caller, pytest.raises(ConnectionError):
        caller.send(request(embed({"$payload": 20_000_000})))


def test_a_text_that_fails_takes_its_batch_along(stand_ins: Stage) -> None:
    server = stand_ins.fresh("--model-id failing", "--slow-factor", "15")
    with Caller(server.port) as first, Caller(server.port) as good, Caller(server.port) as bad:
        # While this is computed, the other two come to stand in one batch.
        busy(server, first, {"inputs": [{"$text": ["foxes", 60]}, {"$text": ["foxes", 60]}]})
        eventually(lambda: server.engine.queued == 0)
        good.send(request(embed({"inputs": "the"})))
        bad.send(request(embed({"inputs": "hello"})))
        assert [caller.answer().status for caller in (first, good, bad)] == [200, 424, 424]
    assert ask(server.port, HEALTH).status == 200
    assert ask(server.port, embed({"inputs": "the"})).status == 200


def test_a_batch_takes_as_many_times_longer_as_it_is_told(stand_ins: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    server = stand_ins.fresh(MINILM)
    waits: list[float] = []
    monkeypatch.setattr("tests.servers.tei.engine.sleep", waits.append)
    for factor in ("10", "1"):
        slow: dict[str, Json] = {"method": "POST", "path": "/stand-in/slow-factor", "body": factor}
        assert ask(server.port, slow).status == 200
        assert ask(server.port, embed(SHORT)).status == 200
    assert waits[0] > 0
    assert waits[1] == 0
    assert ask(server.port, {**slow, "body": "fast"}).status == 422
