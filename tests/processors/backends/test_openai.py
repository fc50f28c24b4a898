"""Every way in which an OpenAI-compatible server can answer or fail, on one that does as it is told."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from processors.backends.openai import OpenAIGenerator
from processors.errors import Poison, Transient
from processors.ports import Fragment
from tests.processors.generator_contract import ASKED
from tests.processors.models import evidence, passage
from tests.servers import faults
from tests.servers.certificates import Authority
from tests.servers.faults import FaultServer, Reply, Step, answer, busy, event, html, nobody, stream
from tests.servers.proxy import FaultProxy

SERVED = answer({"data": [{"id": "m"}]})
KEY = "s3cret"


def delta(text: str | None, **more: object) -> bytes:
    return event({"choices": [{"delta": {"content": text, **more}, "finish_reason": None}]})


def told(reason: str = "stop", **more: object) -> bytes:
    return event({"choices": [{"delta": {}, "finish_reason": reason}], **more})


DONE = b"data: [DONE]\n\n"
COUNTED = told(usage={"prompt_tokens": 7, "completion_tokens": 2})
IN_1889 = stream(delta("In "), delta("1889."), COUNTED, DONE)


@asynccontextmanager
async def opened(
    url: str, options: str = "", key: str = "", ca_file: Path | None = None
) -> AsyncIterator[OpenAIGenerator]:
    generator = OpenAIGenerator(f"openai+{url}/v1?model=m{options}", key=key, ca_file=ca_file)
    try:
        await generator.open()
        yield generator
    finally:
        await generator.close()


@asynccontextmanager
async def served(*replies: Reply, options: str = "") -> AsyncIterator[tuple[FaultServer, OpenAIGenerator]]:
    async with FaultServer(*replies).on("/v1/models", SERVED) as server, opened(server.url, options) as generator:
        server.requests.clear()
        yield server, generator


async def answered(generator: OpenAIGenerator) -> list[Fragment]:
    return [fragment async for fragment in generator.generate(ASKED, evidence())]


async def text(*replies: Reply, options: str = "") -> str:
    async with served(*replies, options=options) as (_, generator):
        return "".join(fragment.text for fragment in await answered(generator))


async def failure(*replies: Reply, options: str = "") -> Transient:
    async with served(*replies, options=options) as (server, generator):
        with pytest.raises(Transient) as raised:
            await answered(generator)
        assert server.url in raised.value.reason
    return raised.value


async def test_the_text_comes_as_it_is_written_and_the_usage_last() -> None:
    async with served(IN_1889) as (server, generator):
        fragments = await answered(generator)
    assert [fragment.text for fragment in fragments] == ["In", " 1889.", ""]
    assert fragments[-1].usage is not None
    assert (fragments[-1].usage.prompt_tokens, fragments[-1].usage.completion_tokens) == (7, 2)
    [request] = server.requests
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    sent = request.json()
    assert (sent["model"], sent["temperature"], sent["stream"], sent["max_tokens"]) == ("m", 0, True, 128)
    assert ASKED in str(sent["messages"])


async def test_a_model_that_continues_text_gets_a_prompt_instead_of_a_chat() -> None:
    said = event({"choices": [{"text": " In 1889.", "index": 0, "finish_reason": "stop"}]})
    async with served(stream(said, DONE), options="&api=completions&max_tokens=9") as (server, generator):
        fragments = await answered(generator)
    assert "".join(fragment.text for fragment in fragments) == "In 1889."
    [request] = server.requests
    sent = request.json()
    assert request.path == "/v1/completions"
    assert sent["max_tokens"] == 9
    assert str(sent["prompt"]).endswith(f"Question: {ASKED}\nAnswer:")
    assert "\nQuestion:" in cast("list[str]", sent["stop"])


async def test_where_the_server_counts_no_tokens_none_are_invented() -> None:
    async with served(stream(delta("In 1889."), told())) as (_, generator):
        *_, last = await answered(generator)
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (0, 0)


async def test_line_ends_that_only_unicode_knows_end_no_event() -> None:
    said = 'data: {"choices": [{"delta": {"content": "a\u2028b\x85c"}, "finish_reason": "stop"}]}\r\n\r\n'
    half = len(said.encode()) // 2
    assert await text(stream(said.encode()[:half], said.encode()[half:], DONE)) == "a\u2028b\x85c"


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_that_the_server_keeps_apart_is_not_passed_on(field: str) -> None:
    assert await text(stream(delta(None, **{field: "Hm, let me see."}), delta("In 1889."), COUNTED)) == "In 1889."


async def test_reasoning_between_tags_is_not_passed_on() -> None:
    pieces = [delta(piece) for piece in ("<th", "ink>Hm, <b>", " 1887?</thi", "nk>\n\n", "In 1889.")]
    assert await text(stream(*pieces, COUNTED)) == "In 1889."


@pytest.mark.parametrize("thought", [delta("<think>Hm, let me"), delta("", reasoning="Hm, let me")])
async def test_a_model_that_only_reasons_says_to_allow_it_more(thought: bytes) -> None:
    async with served(stream(thought, told("length"))) as (_, generator):
        with pytest.raises(Poison, match="raise max_tokens="):
            await answered(generator)


async def test_reasoning_whose_end_alone_is_marked_is_what_the_deployment_must_change() -> None:
    thought = stream(delta("Let me see.\n</th"), delta("ink>\n\nIn 1889."), COUNTED)
    assert "reasoning parser" in (await failure(thought)).reason


async def test_an_answer_ends_where_it_begins_to_repeat_itself_and_the_server_is_told() -> None:
    again = [delta("The tower was "), delta("built in 1889. ")] * 3
    async with served(stream(*again, Step.WAIT)) as (server, generator):
        assert "".join(part.text for part in await answered(generator)) == "The tower was built in 1889."
        await server.hung_up.wait()


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (busy(), None),
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
    monkeypatch.setattr("processors.backends.openai_server.SILENCE_TIMEOUT_S", 0.2)
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


async def test_closing_the_answer_hangs_up_so_that_the_server_stops() -> None:
    async with served(stream(delta("In "), Step.WAIT)) as (server, generator):
        fragments = generator.generate(ASKED, evidence())
        assert (await anext(fragments)).text == "In"
        await fragments.aclose()
        await server.hung_up.wait()


TOO_LONG = answer({"error": {"type": "exceed_context_size_error"}}, 400)


async def test_a_prompt_beyond_the_model_s_context_is_sent_again_with_less_evidence() -> None:
    async with served(TOO_LONG, answer("too large", 413), IN_1889) as (server, generator):
        fragments = [part async for part in generator.generate(ASKED, [passage("word " * 2000)])]
    assert fragments[0].text == "In"
    sizes = [len(request.body) for request in server.requests]
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(
    "replies", [[TOO_LONG], [stream(delta("In "), event({"error": {"message": "context is full"}}))]]
)
async def test_a_context_too_small_for_the_question_is_poison(replies: Sequence[Reply]) -> None:
    async with served(*replies) as (_, generator):
        with pytest.raises(Poison, match="too small a context"):
            await answered(generator)


@pytest.mark.parametrize(
    ("models", "code", "remedy"),
    [
        (answer({"data": [{"id": "other"}]}), "unknown-model", "'other'.*model="),
        (answer("", 401), "unauthorized", "generator_key"),
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


async def test_the_health_route_stands_beside_the_api_and_may_be_absent() -> None:
    async with served(IN_1889) as (server, generator):
        server.on("/health", answer(""))
        await generator.healthy()
        for absent in (answer({"detail": "Not Found"}, 404), html()):
            server.on("/health", absent)
            await generator.healthy()
        server.on("/health", busy(503))
        with pytest.raises(Transient, match=server.url):
            await generator.healthy()
    assert [request.path for request in server.requests] == ["/health"] * 4


def pointed(text: str) -> Reply:
    return stream(delta(text[:5]), delta(text[5:]), COUNTED, DONE)


async def test_a_guided_model_points_at_sentences_and_these_are_quoted() -> None:
    async with served(pointed('{"sentences": [1]}'), pointed('{"sentences": [7, 3, 2]}'), options="&guided=quotes") as (
        server,
        generator,
    ):
        *quotes, last = await answered(generator)
    assert [(quote.text, quote.passage) for quote in quotes] == [
        ("The tower stands in Paris.", 0),
        (" It was built from 1887 to 1889 by the engineers of Gustave Eiffel.", 0),
        ("\n\nCold soup is made of tomatoes.", 2),
    ]
    assert last.usage is not None
    sent = str(server.requests[-1].json())
    assert "3. It was built from 1887" in sent
    assert "'enum': [1, 2, 3, 4, 5, 6, 7, 8]" in sent


async def test_a_guided_model_may_point_at_nothing() -> None:
    async with served(pointed('{"sentences": []}'), options="&guided=quotes") as (_, generator):
        [last] = await answered(generator)
        assert not last.text
        assert [part async for part in generator.generate(ASKED, [passage("...")])]


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


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?model=m&evidence_bytes=much",
        "?model=m&max_tokens=0",
        "?model=m&api=responses",
        "?model=m&guided=json",
        "?model=m&api=completions&guided=quotes",
        "?model=m&n=2",
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(query: str) -> None:
    with pytest.raises(Poison, match="bad-url"):
        OpenAIGenerator(f"openai+http://127.0.0.1:9/v1{query}")
