"""How a stand-in begins and ends."""

import signal
import subprocess
import time
from contextlib import ExitStack

import pytest

from streams.local.listeners import free_ports
from tests.servers.tei import exchanges
from tests.servers.tei.exchanges import Json
from tests.servers.tei.process import Tei, command, tei
from tests.servers.tei.replay import Caller, ask, request

FOUR_BATCHES: Json = {"inputs": {"$repeat": [{"$text": ["articles", 60]}, 32]}}
HEALTH: dict[str, Json] = {"method": "GET", "path": "/health"}
UNKNOWN_ID: dict[str, Json] = {"method": "POST", "path": "/embed", "body": {"inputs": [999999]}}
PREDICT: dict[str, Json] = {"method": "POST", "path": "/predict", "body": {"inputs": "a"}}


def embed(body: Json) -> dict[str, Json]:
    return {"method": "POST", "path": "/embed", "body": body}


@pytest.mark.parametrize(
    ("flags", "deadly"),
    [
        (("--model", "minilm-classifier", "--output", "nan"), PREDICT),
        (("--model", "minilm"), UNKNOWN_ID),
        (("--model", "minilm", "--pooling", "cls"), UNKNOWN_ID),
    ],
)
def test_what_aborts_tei_aborts_the_process(flags: tuple[str, ...], deadly: dict[str, Json]) -> None:
    with tei(*flags) as server:
        with pytest.raises(ConnectionError):
            ask(server.port, deadly)
        assert server.process.wait(20) == -signal.SIGABRT
        with pytest.raises(ConnectionRefusedError):
            ask(server.port, HEALTH)


def test_eight_health_checks_while_it_computes_abort_the_process_and_seven_do_not() -> None:
    # Slow without using the cores: the checks arrive within one batch.
    with tei("--slow-factor", "5") as server:
        with Caller(server.port) as caller:
            caller.send(request(embed(FOUR_BATCHES)))
            assert _check_at_once(server, 7) == [200] * 7
            assert caller.answer().status == 200
        with Caller(server.port) as caller:
            caller.send(request(embed(FOUR_BATCHES)))
            with pytest.raises(ConnectionError):
                _check_at_once(server, 8)
            with pytest.raises(ConnectionError):
                caller.answer()
        assert server.process.wait(20) == -signal.SIGABRT


def test_the_port_is_bound_when_the_model_is_ready() -> None:
    [port] = free_ports(1)
    refused = 0
    with subprocess.Popen(command("--port", str(port)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        try:
            while True:
                try:
                    answer = ask(port, HEALTH)
                    break
                except ConnectionRefusedError:
                    refused += 1
                    assert process.poll() is None
                    time.sleep(0.02)
        finally:
            process.kill()
    assert refused
    assert answer.status == 200


def test_sigterm_lets_what_is_in_flight_finish_and_nobody_in() -> None:
    [recorded] = (each for each in exchanges.load() if each["name"] == "sigterm_in_flight_request")
    asked, expected = recorded["request"], recorded["answer"]
    assert isinstance(asked, dict)
    assert isinstance(expected, dict)
    with tei() as server, Caller(server.port) as idle, Caller(server.port) as caller:
        idle.send(request(HEALTH))
        assert idle.answer().status == 200
        caller.send(request(asked))
        _until_it_computes(server)
        server.terminate()
        with pytest.raises(ConnectionError):
            idle.answer()
        with pytest.raises(ConnectionError):
            ask(server.port, HEALTH)
        assert not exchanges.differences(caller.answer(), expected)
        assert server.process.wait(20) == 0


def test_sigterm_ends_an_idle_server_at_once() -> None:
    with tei() as server:
        server.terminate()
        assert server.process.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            ask(server.port, HEALTH)


def test_a_server_ends_with_whoever_started_it() -> None:
    with tei() as server:
        assert server.process.stdin
        server.process.stdin.close()
        assert server.process.wait(20) == 1


def test_one_comes_back_at_the_port_of_another() -> None:
    with tei("--model-id", "one") as server, Caller(server.port) as caller:
        caller.send(request(HEALTH))
        caller.answer()
        server.kill()
        with tei("--model-id", "other", port=server.port) as successor:
            assert successor.url == server.url
            assert b'"model_id":"other"' in ask(successor.port, {"method": "GET", "path": "/info"}).body


def test_one_is_slowed_down_and_sped_up_while_it_runs() -> None:
    with tei("--threads", "1") as server:

        def inference_ms() -> int:
            return min(int(ask(server.port, embed({"inputs": "hello"})).headers["x-inference-time"]) for _ in range(3))

        own_ms = inference_ms()
        server.slow_down(50)
        slow_ms = inference_ms()
        server.slow_down(1)
        assert slow_ms > 5 * own_ms
        assert slow_ms > 5 * inference_ms()


def test_flags_that_make_no_server_say_so() -> None:
    with pytest.raises(RuntimeError, match="did not start: exit status 2"), tei("--model", "other"):
        pass


def _check_at_once(server: Tei, count: int) -> list[int]:
    _until_it_computes(server)
    with ExitStack() as stack:
        callers = [stack.enter_context(Caller(server.port)) for _ in range(count)]
        for caller in callers:
            caller.send(request(HEALTH))
        return [caller.answer().status for caller in callers]


def _until_it_computes(server: Tei) -> None:
    metrics: dict[str, Json] = {"method": "GET", "path": "/metrics"}
    while b"te_queue_size 0" in ask(server.port, metrics).body:
        time.sleep(0.01)
