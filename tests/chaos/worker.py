"""A worker to be broken: `python -m tests.chaos.worker JOURNAL SESSION_S [STAGES]`, settings from the environment.

It is the product's worker; only reading and embedding are simple, because models and parsers would only cost time
here, and a journal says at every moment what it has in hand. Servers that the settings name are asked as ever, only
with less patience.
"""

import asyncio
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider

from processors.backends.openai import server as openai
from processors.backends.tei.ports import TeiEmbedder, TeiReranker
from processors.errors import Poison
from processors.ports import Element, Embedder, Parser, Reranker, Role, Vectors
from streams import logs
from streams.composition import Backends
from streams.runtime.engines import faust, reader
from streams.runtime.traces import DOCUMENT_ID, OUTCOME, QUERY_ID, STAGE
from streams.settings import Settings
from streams.worker import serve
from tests.processors.hashed_words import HashedWords

EMBED_S = 0.02
"""A model takes time, and so there is work in hand."""
PATIENCE_S = 5.0
"""With a server that is silent: a run should not last as long as a hang of a real one may."""
TEI = "tei+"
WHERE = ("messaging.destination.name", "messaging.destination.partition.id", "messaging.kafka.offset")
WHAT = (OUTCOME, DOCUMENT_ID, QUERY_ID)


class Paragraphs:
    """A parser of plain text."""

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def check(self) -> str:
        return "paragraphs"

    async def parse(self, data: bytes, *, media_type: str, filename: str) -> Sequence[Element]:
        found = [part.strip() for part in re.split(r"\n\s*\n", data.decode()) if part.strip()]
        if not found:
            raise Poison("empty-document", f"{filename!r} is empty: publish it with its content")
        return [Element(kind="text", text=text) for text in found]


class UnhurriedWords(HashedWords):
    """Hashed words, after as long as a small model takes."""

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        await asyncio.sleep(EMBED_S)
        return await super().embed(texts, role=role)


class SimplePorts(Backends):
    """The settings' backends, but for the parser, and for an embedder that is not a server's."""

    @cached_property
    def parser(self) -> Parser:
        return Paragraphs()

    @cached_property
    def embedder(self) -> Embedder:
        url = self.settings.instances("embedder")[0].url
        return TeiEmbedder(url, answer_timeout_s=PATIENCE_S) if url.startswith(TEI) else UnhurriedWords()

    @cached_property
    def reranker(self) -> Reranker:
        url = self.settings.instances("reranker")[0].url
        return TeiReranker(url, answer_timeout_s=PATIENCE_S) if url.startswith(TEI) else super().reranker


class Journal(SpanProcessor):
    """Writes a line when a stage takes an event in hand and one when it is done, before anything else happens.

    `+ SPAN STAGE TOPIC/PARTITION/OFFSET` and `- SPAN STAGE TOPIC/PARTITION/OFFSET OUTCOME DOCUMENT-OR-QUESTION`.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        self._write("+", span)

    def on_end(self, span: ReadableSpan) -> None:
        self._write("-", span)

    def _write(self, sign: str, span: ReadableSpan) -> None:
        about = span.attributes or {}
        if STAGE in about and span.context is not None:
            where = "/".join(str(about[name]) for name in WHERE)
            what = " ".join(str(about[name]) for name in WHAT if name in about)
            os.write(self._file, f"{sign} {span.context.span_id:016x} {about[STAGE]!s} {where} {what}\n".encode())


def begun(journal: Path) -> Mapping[str, str]:
    """Stage and record of everything that was begun, by span."""
    lines = [line.split() for line in journal.read_text().splitlines()] if journal.exists() else ()
    return {span: f"{stage} {where}" for sign, span, stage, where, *_ in lines if sign == "+"}


def in_hand(journal: Path) -> Sequence[str]:
    """Stage and record of everything that was begun and not ended."""
    ended = {line.split()[1] for line in journal.read_text().splitlines() if line[0] == "-"} if journal.exists() else ()
    return [about for span, about in begun(journal).items() if span not in ended]


def main(journal: str, session_s: str, stages: str = "") -> int:
    settings = Settings()
    logs.configure(settings.log_level)
    faust.SETTINGS = {**faust.SETTINGS, "broker_session_timeout": float(session_s), "broker_heartbeat_interval": 2.0}
    openai.SILENCE_TIMEOUT_S = PATIENCE_S
    reader.DEFAULTS = {**reader.DEFAULTS, "session.timeout.ms": int(float(session_s) * 1000)}
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Journal(Path(journal)))
    names = [name for name in stages.split(",") if name]
    tracer = provider.get_tracer("headwater")
    return asyncio.run(serve(settings, names, tracer=tracer, ports=SimplePorts(settings)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
