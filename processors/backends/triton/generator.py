"""Answers from language models on Triton servers, in the dialect that the model's metadata shows."""

import asyncio
import random
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import numpy as np

from processors.backends.http import at_start
from processors.backends.triton.chat_templates import TEMPLATES, Until
from processors.backends.triton.client import ANSWER_TIMEOUT_S, TritonModel
from processors.backends.triton.dialects import Reading, Response, Speaker, recognise, strange
from processors.backends.triton.errors import ModelFailed
from processors.backends.triton.served import TYPES, Served, Tensors
from processors.backends.triton.url import TritonUrl
from processors.backends.written import Written
from processors.errors import Poison, Transient
from processors.ports import Fragment
from schemas import AnswerMode, Passage

OPTIONS = {"evidence_bytes": 1_600, "max_tokens": 128}
"""About 400 tokens of English in, and about 100 words out."""
NEUTRAL = "Say yes."
"""Tells a model that fails from a prompt that makes it fail."""
TRIES = 3
"""Of a prompt at which the model fails, each followed by a neutral one that it takes."""
AGAIN_AFTER_S = 0.3
"""Upper bound of the wait before the next."""
STOP_TIMEOUT_S = 5.0
"""Whoever left waits for no server that hangs; one that works answers at once."""


class TritonGenerator:
    """Streams answers from `triton+grpc(s)://host:port/model`.

    `?template=chatml` (or `llama3`) writes the prompt as the model was trained to read it, for the servers apply no
    template. `&evidence_bytes=8000` lets a larger model read more of the passages, `&max_tokens=256` write more.
    Where a prompt exceeds the model's context, it is sent again with half the evidence.
    """

    def __init__(
        self, url: str, *, key: str = "", ca_file: Path | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        where, options = TritonUrl.parse(url, setting="generator", known=("template", *OPTIONS))
        name = options.get("template", "plain")
        if name not in TEMPLATES:
            raise Poison("bad-url", f"generator: no template {name!r}; known: {', '.join(TEMPLATES)}")
        self._template = TEMPLATES[name]
        self._evidence_bytes, self._max_tokens = (_number(options, name) for name in OPTIONS)
        self._triton = TritonModel(where, key=key, ca_file=ca_file, answer_timeout_s=answer_timeout_s)
        self._speaker: Speaker | None = None
        self._stoppable: Served | None = None

    @property
    def mode(self) -> AnswerMode:
        return "generative"

    @property
    def model(self) -> str:
        return self._triton.url.model

    async def open(self) -> None:
        served = await self._triton.open()
        self._speaker = recognise(served)
        with at_start():
            steps = [await self._triton.describe(step) for step in served.steps]
        self._stoppable = next((step for step in steps if "stop" in step.inputs), None)

    async def close(self) -> None:
        await self._triton.close()

    async def check(self) -> str:
        with at_start():
            await self._triton.ready()
        dialect = self._speaker.dialect.name if self._speaker else ""
        return f"{self.model} at {self._triton.url}, dialect {dialect}"

    async def healthy(self) -> None:
        await self._triton.ready()

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        for share in (1, 2, 4, 8):
            prompt = self._template.render(question, passages, evidence_bytes=self._evidence_bytes // share)
            begun = False
            try:
                async with aclosing(self._told(prompt)) as fragments:
                    async for fragment in fragments:
                        begun = True
                        yield fragment
            except ModelFailed as error:
                if not error.too_long:
                    raise
                if begun:
                    break
            else:
                return
        raise Poison("prompt-too-long", f"{self.model!r} has too small a context for this question: ask a shorter one")

    async def _told(self, prompt: str) -> AsyncGenerator[Fragment, None]:
        """The answer to this prompt. Poison where the model fails at it again and again, and at no other.

        Once proves nothing: an engine may have failed under what it generated beside it.
        """
        failures: list[ModelFailed] = []
        said = False
        while len(failures) < TRIES:
            again = said  # what was said once is not said twice: whether the model fails again is all that counts
            try:
                async with aclosing(self._stream(prompt)) as fragments:
                    async for fragment in fragments:
                        if not again:
                            said = True
                            yield fragment
            except ModelFailed as error:
                if error.too_long:
                    raise
                failures.append(error)
                await self._works()
                await asyncio.sleep(random.uniform(0, AGAIN_AFTER_S))  # noqa: S311 - any moment will do
            else:
                if again:
                    raise failures[-1]
                return
        problem = f"{failures[-1].reason}; it takes other prompts, and never this one"
        raise Poison("model-failed", f"{problem}: ask in other words")

    async def _works(self) -> None:
        """Raise Transient where the model fails whatever it is asked."""
        try:
            async with aclosing(self._responses(NEUTRAL, max_tokens=1)) as responses:
                async for _ in responses:
                    pass
        except ModelFailed as error:
            raise Transient(f"{error.reason}; it fails for every prompt") from error

    async def _stream(self, prompt: str) -> AsyncGenerator[Fragment, None]:
        reading, until, written = Reading(self._opened.cumulative), Until(self._template.stops), Written()
        async with aclosing(self._responses(prompt, max_tokens=self._max_tokens)) as responses:
            async for response in responses:
                if text := written.feed(until.feed(reading.feed(response))):
                    yield Fragment(text=text)
                if until.found or written.complete:
                    break
        rest = written.feed(until.feed(reading.end()) + until.end()) + written.end()
        yield Fragment(text=rest, usage=reading.usage)

    async def _responses(self, prompt: str, *, max_tokens: int) -> AsyncGenerator[Response, None]:
        """What the model answers, part by part; closing it ends the generation."""
        request_id, finished = uuid.uuid4().hex, False
        inputs = self._opened.inputs(prompt, max_tokens=max_tokens)
        try:
            responses = self._triton.stream(inputs, self._opened.outputs, request_id=request_id)
            async with aclosing(responses):
                async for response in responses:
                    if sent := strange(response):
                        raise self._triton.nonsense(sent)
                    yield response
                finished = True
        finally:
            if not finished:
                await self._stop(request_id)

    @property
    def _opened(self) -> Speaker:
        if self._speaker is None:
            raise Transient(f"{self._triton.url} is not open")
        return self._speaker

    async def _stop(self, request_id: str) -> None:
        """Tell the step of an ensemble that generates: Triton looks for cancellation between the steps only."""
        if self._stoppable is None:
            return
        with suppress(Transient, TimeoutError):  # the caller has gone; the generation then ends by itself
            step = self._stoppable
            stopping = self._triton.stream(stop_inputs(step), [], request_id=request_id, model=step.name)
            async with asyncio.timeout(STOP_TIMEOUT_S), aclosing(stopping):
                async for _ in stopping:
                    pass


def stop_inputs(step: Served) -> Tensors:
    """Zeros where the model wants something, for it looks at nothing but the request's id."""
    zeros = {
        tensor.name: np.zeros([max(size, 1) for size in tensor.shape], TYPES[tensor.datatype])
        for tensor in step.inputs.values()
        if tensor.required
    }
    return zeros | {"stop": step.inputs["stop"].scalar(True)}


def _number(options: dict[str, str], name: str) -> int:
    given = options.get(name, str(OPTIONS[name]))
    if not given.isdecimal() or int(given) < 1:
        raise Poison("bad-url", f"generator: {name}={given!r} must be a number above 0")
    return int(given)
