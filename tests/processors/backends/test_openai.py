"""The Generator contract on a real llama.cpp server, and every way in which a server can fail."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from processors.backends.openai import OpenAIGenerator
from processors.errors import Poison, Transient
from processors.ports import Fragment, Generator
from streams.local.listeners import free_ports
from streams.settings import Settings
from tests.processors.generator_contract import ASKED, GeneratorContract
from tests.processors.models import evidence, passage


@pytest.mark.stack
class TestLlamaCpp(GeneratorContract):
    @pytest.fixture
    async def generator(self, stack: Settings) -> AsyncIterator[Generator]:
        async with opened(stack.generator_url) as generator:
            yield generator

    async def test_the_server_counts_its_tokens(self, generator: Generator) -> None:
        *_, last = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert last.usage is not None
        assert last.usage.prompt_tokens > 50
        assert last.usage.completion_tokens > 1

    async def test_a_long_question_over_much_evidence_is_answered(self, generator: Generator) -> None:
        much = [passage("Wo\u0142omin lies east of Warsaw. " * 60, ordinal=number) for number in range(10)]
        assert [part async for part in generator.generate("Where is it? " * 600, much)]


class Server:
    """Answers each request with the next of some scripted replies, the last for ever."""

    def __init__(self, *replies: Sequence[bytes]) -> None:
        self.replies = list(replies)
        self.requests: list[tuple[bytes, bytes]] = []
        """Head and body."""
        self.hung_up = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0] or 0)
                self.requests.append((head, await reader.readexactly(size)))
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                for part in reply:
                    if part == HANG_UP:
                        return
                    if part == WAIT:
                        assert await reader.read(1) == b""
                        return
                    writer.write(part)
                    await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.hung_up.set()
            writer.close()


HANG_UP, WAIT = b"hang up", b"wait for the caller to hang up"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def said(**event: object) -> bytes:
    data = b"data: " + json.dumps(event).encode() + b"\n\n"
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def delta(text: str | None, **more: object) -> bytes:
    return said(choices=[{"delta": {"content": text, **more}, "finish_reason": None}])


DONE = said(choices=[{"delta": {}, "finish_reason": "stop"}], usage={"prompt_tokens": 7, "completion_tokens": 2})
ANSWER = (STREAM, delta("In "), delta("1889."), DONE, END)


def status(line: str, body: str = "", *headers: str) -> tuple[bytes]:
    head = "\r\n".join([f"HTTP/1.1 {line}", f"Content-Length: {len(body)}", *headers])
    return (f"{head}\r\n\r\n{body}".encode(),)


@asynccontextmanager
async def opened(url: str, key: str = "") -> AsyncIterator[OpenAIGenerator]:
    generator = OpenAIGenerator(url, key=key)
    await generator.open()
    try:
        yield generator
    finally:
        await generator.close()


@asynccontextmanager
async def served(server: Server, key: str = "", options: str = "") -> AsyncIterator[OpenAIGenerator]:
    listening = await asyncio.start_server(server, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening, opened(f"openai+http://127.0.0.1:{port}/v1?model=m{options}", key) as generator:
        yield generator


async def answer(generator: OpenAIGenerator) -> list[Fragment]:
    return [fragment async for fragment in generator.generate(ASKED, evidence())]


async def test_the_text_comes_as_it_is_written_and_the_usage_last() -> None:
    server = Server(ANSWER)
    async with served(server, key="s3cret") as generator:
        fragments = await answer(generator)
    assert [fragment.text for fragment in fragments] == ["In ", "1889.", ""]
    assert fragments[-1].usage is not None
    assert (fragments[-1].usage.prompt_tokens, fragments[-1].usage.completion_tokens) == (7, 2)
    head, body = server.requests[0]
    assert head.startswith(b"POST /v1/chat/completions ")
    assert b"authorization: bearer s3cret" in head.lower()
    sent = json.loads(body)
    assert (sent["model"], sent["temperature"], sent["stream"]) == ("m", 0, True)
    assert ASKED in sent["messages"][-1]["content"]


async def test_reasoning_is_kept_apart() -> None:
    server = Server((STREAM, delta(None, reasoning_content="Hm, let me see."), delta("In 1889."), DONE, END))
    async with served(server) as generator:
        assert "".join(fragment.text for fragment in await answer(generator)) == "In 1889."


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (status("429 Too Many Requests", "busy", "Retry-After: 7"), 7.0),
        (status("503 Service Unavailable", "Loading model", "Retry-After: soon"), None),
        (status("500 Internal Server Error", "oops"), None),
    ],
)
async def test_a_busy_or_failing_server_is_transient(reply: tuple[bytes], wait_s: float | None) -> None:
    async with served(Server(reply)) as generator:
        with pytest.raises(Transient) as raised:
            await answer(generator)
    assert raised.value.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("reply", "remedy"),
    [
        (status("400 Bad Request", "no such role"), "no such role"),
        (status("401 Unauthorized"), "check the key"),
        (status("404 Not Found", "unknown model"), "model="),
    ],
)
async def test_a_refused_request_is_poison_with_what_to_do(reply: tuple[bytes], remedy: str) -> None:
    async with served(Server(reply)) as generator:
        with pytest.raises(Poison, match=remedy):
            await answer(generator)


async def test_a_server_that_is_not_there_is_transient() -> None:
    [port] = free_ports(1)
    async with opened(f"openai+http://127.0.0.1:{port}/v1?model=m") as generator:
        with pytest.raises(Transient, match=str(port)):
            await answer(generator)
        with pytest.raises(Transient):
            await generator.check()


@pytest.mark.parametrize(
    "reply",
    [
        (STREAM, delta("In "), HANG_UP),
        (STREAM, delta("In "), END),
        (STREAM, delta("In "), said(error={"message": "out of memory"}), END),
        (STREAM, delta("In "), b"9\r\ndata: {x\n\r\n", END),
    ],
)
async def test_an_answer_that_breaks_off_is_transient(reply: Sequence[bytes]) -> None:
    async with served(Server(reply)) as generator:
        with pytest.raises(Transient):
            await answer(generator)


async def test_a_connection_that_the_server_had_given_up_is_replaced_without_a_word() -> None:
    server = Server(ANSWER, (HANG_UP,), ANSWER)
    async with served(server) as generator:
        first, second = await answer(generator), await answer(generator)
    assert first == second
    assert len(server.requests) == 3


async def test_closing_the_answer_hangs_up_so_that_the_server_stops() -> None:
    server = Server((STREAM, delta("In "), WAIT))
    async with served(server) as generator:
        fragments = generator.generate(ASKED, evidence())
        assert (await anext(fragments)).text == "In "
        await fragments.aclose()
        await asyncio.wait_for(server.hung_up.wait(), 5)


async def test_a_prompt_beyond_the_model_s_context_is_sent_again_with_less_evidence() -> None:
    full = status("400 Bad Request", '{"error": {"type": "exceed_context_size_error"}}')
    server = Server(full, full, ANSWER)
    async with served(server) as generator:
        fragments = [part async for part in generator.generate(ASKED, [passage("word " * 2000)])]
    assert fragments[0].text == "In "
    sizes = [len(body) for _, body in server.requests]
    assert sizes[0] > sizes[1] > sizes[2]


async def test_a_context_too_small_for_any_evidence_is_poison() -> None:
    full = status("400 Bad Request", "maximum context length is 16 tokens")
    async with served(Server(full)) as generator:
        with pytest.raises(Poison, match="too small a context"):
            await answer(generator)


async def test_a_server_s_other_models_are_named_where_ours_is_missing() -> None:
    body = json.dumps({"data": [{"id": "other"}]})
    async with served(Server(status("200 OK", body))) as generator:
        with pytest.raises(Poison, match="other"):
            await generator.check()


async def test_before_it_is_open_a_generator_says_so() -> None:
    with pytest.raises(Transient, match="not open"):
        await answer(OpenAIGenerator("openai+http://127.0.0.1:9/v1?model=m"))


@pytest.mark.parametrize("query", ["", "?model=m&evidence_bytes=much", "?model=m&evidence_bytes=0"])
def test_a_url_that_cannot_work_is_refused_at_once(query: str) -> None:
    with pytest.raises(Poison, match="bad-url"):
        OpenAIGenerator(f"openai+http://127.0.0.1:9/v1{query}")


@pytest.mark.parametrize("body", ["<html>It works!</html>", "[]", '{"models": []}', "7"])
async def test_a_server_of_another_kind_is_recognised(body: str) -> None:
    async with served(Server(status("200 OK", body))) as generator:
        with pytest.raises(Poison, match="correct the URL") as refused:
            await generator.check()
    assert refused.value.code == "bad-url"


async def test_an_event_that_is_no_object_is_the_server_s_failure() -> None:
    async with served(Server((STREAM, b"9\r\ndata: []\n\r\n", END))) as generator:
        with pytest.raises(Transient, match="no event"):
            await answer(generator)
