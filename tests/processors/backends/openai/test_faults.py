"""Every way in which an OpenAI-compatible server can fail, on one that does as it is told."""

from pathlib import Path

import pytest

from processors.backends.http import BUSY_S
from processors.backends.openai.generator import OpenAIGenerator
from processors.errors import Poison, Transient
from tests.processors.backends.openai.scripted import (
    IN_1889,
    KEY,
    SERVED,
    answered,
    delta,
    failure,
    opened,
    pointed,
    served,
    told,
)
from tests.servers import faults
from tests.servers.certificates import Authority
from tests.servers.faults import FaultServer, Reply, Step, answer, busy, event, html, nobody, stream
from tests.servers.proxy import FaultProxy


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (busy(), BUSY_S),
        (busy(retry_after="7"), 7.0),
        (busy(503, retry_after="Sat, 21 Nov 1998 10:00:30 GMT"), 0.0),
        (busy(503, retry_after="soon", body={"error": {"message": "Loading model"}}), None),
        (answer("oops", 500), None),
        (html(502), None),
        (faults.HANG_UP, None),
        (faults.RESET, None),
    ],
)
async def test_a_busy_or_failing_server_is_transient(reply: Reply, wait_s: float | None) -> None:
    error = await failure(reply)
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("reply", "remedy"),
    [
        (answer({"error": "expired"}, 401), "set generator_key"),
        (answer({"error": "The model `m` does not exist"}, 404), "change generator's model="),
        (answer("Not Found", 404, "text/plain"), "correct generator"),
        (answer("no such field", 400), "check generator"),
        (html(), "correct generator"),
    ],
)
async def test_what_is_deployed_wrongly_keeps_questions_waiting(reply: Reply, remedy: str) -> None:
    assert remedy in (await failure(reply)).reason


async def test_a_refused_question_is_poison_only_where_the_server_takes_another() -> None:
    async with served(answer("content policy", 400), IN_1889) as (server, generator):
        with pytest.raises(Poison, match=r"content policy.*ask in other words"):
            await answered(generator)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (stream(delta("In "), Step.HANG_UP), "hung up"),
        (stream(delta("In "), Step.RESET), "hung up"),
        (stream(delta("In "), end=False), "hung up"),
        (stream(delta("In ")), "in the middle"),
        (stream(delta("In "), event({"error": {"message": "out of memory"}})), "out of memory"),
        (stream(delta("In "), b'error: {"code": 500, "message": "oops"}\n\n'), "oops"),
        (stream(delta("In "), told("abort")), "abort"),
        (stream(b"data: {x\n\n"), "no JSON"),
        (stream(b'data: {"choices": [], "usage": {"prompt_tokens": NaN}}\n\n'), "no JSON"),
        (stream(event([])), "no JSON object"),
        (stream(event({"choices": [{"delta": {"content": 7}}]})), "shape"),
        (stream(event({"choices": {"delta": "x"}})), "shape"),
        (stream(event({"choices": [{"delta": "x"}]})), "shape"),
        (stream(event({})), "shape"),
        (stream(delta("In "), told(usage={"prompt_tokens": -1})), "shape"),
        (answer({"choices": [{"message": {"content": "In 1889."}}]}), "in the middle"),
    ],
)
async def test_an_answer_that_breaks_off_or_has_another_shape_is_transient(reply: Reply, problem: str) -> None:
    async with served(reply) as (server, generator):
        with pytest.raises(Transient, match=problem) as raised:
            await answered(generator)
        assert server.url in raised.value.reason


@pytest.mark.parametrize("reply", [faults.HANG, stream(delta("In "), Step.WAIT)])
async def test_a_server_that_hangs_is_given_up(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processors.backends.openai.server.SILENCE_TIMEOUT_S", 0.2)
    assert "did not answer in time" in (await failure(reply)).reason


async def test_an_answer_that_the_server_withholds_is_poison() -> None:
    async with served(stream(delta("In "), told("content_filter"))) as (_, generator):
        with pytest.raises(Poison, match="content_filter"):
            await answered(generator)


async def test_a_server_that_is_not_there_waits_and_stops_no_start() -> None:
    address = nobody()
    async with opened(address) as generator:
        with pytest.raises(Transient, match="refuses connections"):
            await answered(generator)
        with pytest.raises(Transient, match=address):
            await generator.check()


async def test_a_server_that_was_down_at_the_start_is_known_by_its_first_question() -> None:
    llama_cpp = answer({"data": [{"id": "local", "owned_by": "llamacpp"}]})
    async with FaultServer(IN_1889).on("/v1/models", busy(503), llama_cpp) as server, opened(server.url) as generator:
        assert await answered(generator)
    assert [request.path for request in server.requests] == ["/v1/models", "/v1/models", "/v1/chat/completions"]
    assert server.requests[-1].json()["return_progress"] is True


async def test_a_server_that_lists_no_models_proves_itself_by_an_answer() -> None:
    async with FaultServer(IN_1889).on("/v1/models", answer("", 404)) as server, opened(server.url) as generator:
        assert server.url in await generator.check()
        server.on("*", answer("", 404))
        with pytest.raises(Poison, match="correct generator"):
            await generator.check()


async def test_a_model_that_is_replaced_under_way_is_noticed() -> None:
    def by(model: str) -> Reply:
        said = {"choices": [{"delta": {"content": "In 1889."}, "finish_reason": "stop"}], "model": model}
        return stream(event(said))

    async with served(by("m-2026-11"), by("other"), by("other"), by("third")) as (server, generator):
        for _ in range(3):
            await answered(generator)
        with pytest.raises(Transient, match="'third' now: set generator's model=") as raised:
            await answered(generator)
        assert server.url in raised.value.reason


@pytest.mark.parametrize(
    ("models", "code", "remedy"),
    [
        (answer({"data": [{"id": "other"}]}), "unknown-model", "'other'.*model="),
        (answer("", 401), "unauthorized", "generator_key"),
        (answer("no such path in this context", 400), "request-refused", "check generator"),
        (html(), "bad-answer", "It works!"),
        (answer([]), "bad-url", "no OpenAI-compatible API"),
        (answer({"models": []}), "bad-url", "no OpenAI-compatible API"),
        (answer({"data": [7]}), "bad-url", "no OpenAI-compatible API"),
        (answer("{", 200), "bad-url", "no OpenAI-compatible API"),
    ],
)
async def test_a_server_that_is_not_what_the_settings_say_refuses_a_start(
    models: Reply, code: str, remedy: str
) -> None:
    async with FaultServer(IN_1889).on("/v1/models", models) as server:
        with pytest.raises(Poison, match=remedy) as refused:
            async with opened(server.url):
                pass
    assert refused.value.code == code


async def test_a_key_is_proven_at_the_start_because_some_servers_list_their_models_to_everybody() -> None:
    async with FaultServer(answer(f"{KEY} is expired", 401, "text/plain")).on("/v1/models", SERVED) as server:
        with pytest.raises(Poison, match=r"\*\*\* is expired; set generator_key"):
            async with opened(server.url, key=KEY):
                pass
        server.on("*", IN_1889)
        async with opened(server.url, key=KEY) as generator:
            assert server.url in await generator.check()
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


async def test_a_certificate_that_nobody_vouches_for_refuses_a_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with FaultServer(IN_1889, tls=authority.server()).on("/v1/models", SERVED) as server:
        with pytest.raises(Poison, match="ca_file"):
            async with opened(server.url):
                pass
        async with opened(server.url, ca_file=authority.ca_file) as generator:
            assert await answered(generator)


async def test_a_certificate_with_another_name_refuses_a_start(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with FaultServer(IN_1889, tls=authority.server("elsewhere.test")) as server:
        with pytest.raises(Poison, match="write the name that it was issued for into generator"):
            async with opened(server.url, ca_file=authority.ca_file):
                pass


async def test_tls_that_breaks_while_a_worker_runs_keeps_questions_waiting(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    good, impostor = (
        FaultServer(IN_1889, tls=authority.server(name)).on("/v1/models", SERVED)
        for name in ("127.0.0.1", "elsewhere.test")
    )
    async with (
        good,
        impostor,
        FaultProxy("127.0.0.1", good.port) as proxy,
        opened(f"https://{proxy.address}", ca_file=authority.ca_file) as generator,
    ):
        assert await answered(generator)
        await proxy.hang_up()
        proxy.upstream = ("127.0.0.1", impostor.port)
        with pytest.raises(Transient, match="the name that it was issued for"):
            await answered(generator)


@pytest.mark.parametrize(
    "said", ["In 1889.", "[1]", '{"sentences": [99]}', '{"sentences": ["a"]}', '{"sentences": [1', "7"]
)
async def test_a_server_that_does_not_guide_refuses_a_start_and_keeps_questions_waiting(said: str) -> None:
    async with FaultServer(pointed(said)).on("/v1/models", SERVED) as server:
        with pytest.raises(Poison, match="drop guided="):
            async with opened(server.url, "&guided=quotes"):
                pass
        server.on("*", pointed('{"sentences": [1]}'), pointed(said))
        async with opened(server.url, "&guided=quotes") as generator:
            with pytest.raises(Transient, match="drop guided="):
                await answered(generator)


async def test_before_it_is_open_a_generator_says_so() -> None:
    with pytest.raises(Transient, match="not open"):
        await answered(OpenAIGenerator("openai+http://127.0.0.1:9/v1?model=m"))
