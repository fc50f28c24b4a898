"""What comes of the answers of an OpenAI-compatible server, on one that does as it is told."""

from collections.abc import Sequence
from typing import cast

import pytest

from processors.backends.openai.generator import OpenAIGenerator
from processors.errors import Poison, Transient
from tests.processors.backends.openai.scripted import (
    COUNTED,
    DONE,
    IN_1889,
    answered,
    delta,
    failure,
    pointed,
    served,
    text,
    told,
)
from tests.processors.generator_contract import ASKED
from tests.processors.models import evidence, passage
from tests.servers.faults import Reply, Step, answer, busy, event, html, stream


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
