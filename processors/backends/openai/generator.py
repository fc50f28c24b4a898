"""Answers from a language model behind an OpenAI-compatible API: vLLM, llama.cpp, TGI, or a hosted one."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from processors.backends.http import HttpServer, Misdeployed, at_start
from processors.backends.openai.quotes import SAMPLE, chosen, fragments, schema
from processors.backends.openai.server import CHECK_TIMEOUT_S, ContextTooLong, OpenAIServer
from processors.backends.written import Reasoning, Written
from processors.errors import Poison, Transient
from processors.ports import Fragment
from processors.prompts import COMPLETION_STOPS, Quotable, completion, messages, pointing
from schemas import AnswerMode, Passage, Usage

MAX_TOKENS = 128
EVIDENCE_BYTES = 1_600
"""About 400 tokens of English, two chunks: a small model on a CPU reads a few hundred a second before it answers."""
OPTIONS = ("model", "api", "guided", "max_tokens", "evidence_bytes")
APIS = {"chat": "/chat/completions", "completions": "/completions"}
FORM = "openai+http://host:port/v1?model=NAME[&api=chat|completions][&guided=quotes][&max_tokens=N][&evidence_bytes=N]"


class OpenAIGenerator:
    """Streams answers from `openai+http://host:port/v1?model=NAME`; docs/servers.md lists the options.

    Where a prompt exceeds the model's context, it is sent again with half the evidence. Reasoning is not passed on,
    whether the server keeps it apart or the model writes it between tags, and an answer ends where it begins to
    repeat itself. With `guided=quotes` the server's guided decoding lets the model only point at sentences of the
    evidence, which are quoted.
    """

    def __init__(self, url: str, key: str = "", ca_file: Path | None = None) -> None:
        server, options = HttpServer.parse(url, setting="generator", known=OPTIONS, key=key, ca_file=ca_file)
        api, guided = options.get("api", "chat"), options.get("guided", "")
        if not options.get("model") or api not in APIS or guided not in ("", "quotes") or (guided and api != "chat"):
            raise Poison("bad-url", f"generator: {url!r}: write {FORM}")
        self._server = OpenAIServer(server, options["model"])
        self._api, self._guided = api, bool(guided)
        self._max_tokens = _number(options, "max_tokens", MAX_TOKENS)
        self._evidence_bytes = _number(options, "evidence_bytes", EVIDENCE_BYTES)

    @property
    def mode(self) -> AnswerMode:
        return "generative"

    @property
    def model(self) -> str:
        return self._server.model

    async def open(self) -> None:
        """Refuses a server that is not what the settings say; one that is down may come later."""
        if self._server.is_open:
            return
        self._server.open()
        try:
            await self.check()
        except Poison:
            await self.close()
            raise
        except Transient:
            return

    async def close(self) -> None:
        await self._server.close()

    async def check(self) -> str:
        with at_start():
            known = await self._server.know_model()
            # llama.cpp lists its models to everybody, and who offers no guided decoding may ignore the wish for it.
            if self._server.http.key or self._guided or not known:
                await self._answer_anything()
        return f"{self.model} at {self._server.http.base}"

    async def healthy(self) -> None:
        await self._server.healthy()

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        if self._server.llama_cpp is None:
            await self._server.know_model()
        for share in (1, 2, 4, 8):
            begun = False
            try:
                async with aclosing(self._answer(question, passages, self._evidence_bytes // share)) as pieces:
                    async for piece in pieces:
                        begun = True
                        yield piece
            except ContextTooLong:
                if begun:
                    break
                continue
            except Misdeployed as error:
                raise await self._whose_fault(error) from error
            return
        raise Poison("prompt-too-long", f"{self.model!r} has too small a context for this question: ask a shorter one")

    async def _whose_fault(self, error: Misdeployed) -> Exception:
        """Poison where the server takes another question: then this one is at fault and not the deployment."""
        if error.status not in (400, 413, 422):
            return error
        try:
            await self._answer_anything()
        except (Transient, ContextTooLong):
            return error
        return Poison("request-refused", f"{error.reason}; it takes other questions: ask in other words")

    async def _answer_anything(self) -> None:
        """The least that the server can be asked. Raises what any question would meet."""
        if self._guided:
            async with aclosing(self._quote("When was it built?", [SAMPLE], 100, timeout=CHECK_TIMEOUT_S)) as pieces:
                async for _ in pieces:
                    pass
            return
        body = self._asked("Hello?", (), 1) | {"max_tokens": 1}
        async with aclosing(self._server.events(APIS[self._api], body, timeout=CHECK_TIMEOUT_S)) as events:
            async for _ in events:
                return

    def _answer(
        self, question: str, passages: Sequence[Passage], evidence_bytes: int
    ) -> AsyncGenerator[Fragment, None]:
        if self._guided:
            return self._quote(question, passages, evidence_bytes)
        return self._write(self._asked(question, passages, evidence_bytes))

    async def _write(self, body: dict[str, Any]) -> AsyncGenerator[Fragment, None]:
        written, usage, reasoned = Written(), Usage(), False
        async with aclosing(self._server.events(APIS[self._api], body)) as events:
            async for event in events:
                usage, reasoned = event.usage or usage, reasoned or event.reasoning
                if text := written.feed(event.text):
                    yield Fragment(text=text)
                if written.unmarked:
                    problem = f"{self._server.http.base} writes reasoning into its answers, and only marks its end"
                    raise Misdeployed("reasoning-unmarked", f"{problem}: start it with its reasoning parser")
                if written.complete:
                    break
        yield Fragment(text=written.end(reasoned=reasoned), usage=usage)

    async def _quote(
        self, question: str, passages: Sequence[Passage], evidence_bytes: int, **parts: Any
    ) -> AsyncGenerator[Fragment, None]:
        chat, quotable = pointing(question, passages, evidence_bytes=evidence_bytes)
        if not quotable:
            yield Fragment(text="", usage=Usage())
            return
        body = self._body({"messages": chat, "response_format": schema(quotable)})
        reasoning, text, usage = Reasoning(), "", Usage()
        async with aclosing(self._server.events(APIS["chat"], body, **parts)) as events:
            async for event in events:
                text, usage = text + reasoning.feed(event.text), event.usage or usage
        try:
            quotes: list[Quotable] = chosen(text, quotable)
        except ValueError as error:
            server, said = self._server.http, self._server.http.said(text.encode())
            remedy = "drop guided= from generator, or turn guided decoding on in the server"
            problem = f"{server.base} does not keep to a JSON schema ({error}){said}; {remedy}"
            raise Misdeployed("not-guided", problem) from error
        for piece in fragments(quotes):
            yield piece
        yield Fragment(text="", usage=usage)

    def _asked(self, question: str, passages: Sequence[Passage], evidence_bytes: int) -> dict[str, Any]:
        if self._api == "chat":
            return self._body({"messages": messages(question, passages, evidence_bytes=evidence_bytes)})
        prompt = completion(question, passages, evidence_bytes=evidence_bytes)
        return self._body({"prompt": prompt, "stop": COMPLETION_STOPS})

    def _body(self, prompt: dict[str, Any]) -> dict[str, Any]:
        return prompt | {
            "model": self.model,
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def _number(options: dict[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if not text.isdecimal() or int(text) < 1:
        raise Poison("bad-url", f"generator: {name}={text!r} is no number from 1 on: write {FORM}")
    return int(text)
