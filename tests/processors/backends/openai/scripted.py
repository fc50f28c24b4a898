"""An OpenAI-compatible server that does as it is told, and a generator in front of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from processors.backends.openai.generator import OpenAIGenerator
from processors.errors import Transient
from processors.ports import Fragment
from tests.processors.generator_contract import ASKED
from tests.processors.models import evidence
from tests.servers.faults import FaultServer, Reply, answer, event, stream

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


def pointed(text: str) -> Reply:
    return stream(delta(text[:5]), delta(text[5:]), COUNTED, DONE)
