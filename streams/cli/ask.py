"""`headwater ask`: a question from the shell, its answer as it is written."""

import asyncio
import sys
from textwrap import shorten
from typing import TYPE_CHECKING, Annotated, Self

import typer

from streams.cli.problems import FAILED, REJECTED, USAGE, CommandError
from streams.cli.reporting import dim, explained, one_line, pairs, plain
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from schemas import AnswerCompleted, AnswerMode, AnswerRefused, Citation, FinalReply, QueryFailed, Reply
    from streams.client import Asking
    from streams.settings import Settings

AT_ONCE_S = 1.0
"""An answer that comes within this time is not announced."""
NEWEST = 2**63 - 1
CONSIDERED = 3
"""Passages shown beside a refusal; `--json` has them all."""


def ask(
    words: Annotated[
        list[str], typer.Argument(metavar="QUESTION", help="The question; `-` reads it from standard input.")
    ],
    *,
    tenant: Annotated[str, typer.Option(help="Whose documents; default: the setting `tenant`.")] = "",
    principals: Annotated[
        list[str] | None, typer.Option("--as", metavar="PRINCIPAL", help="A user or group who asks. Repeatable.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=50, help="Passages of evidence to answer from.")] = 5,
    filters: Annotated[
        list[str] | None, typer.Option("--filter", metavar="NAME=VALUE", help="Metadata to match. Repeatable.")
    ] = None,
    after: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DOCUMENT=VERSION", help="Search only once this version, or a newer one, is visible. Repeatable."
        ),
    ] = None,
    wait: Annotated[float, typer.Option(min=0, max=60, help="Seconds to wait for the versions of --after.")] = 5.0,
    generate: Annotated[
        bool | None,
        typer.Option("--generate/--extract", help="A language model's words, or sentences of the documents."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="Seconds until the question is past its deadline.")
    ] = 60.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object per line for each reply event; the last one is final.")
    ] = False,
) -> None:
    """Ask a question; the answer streams in, then its citations follow.

    Exit code 0: answered; 1: refused for want of evidence; 3: broker unreachable; 4: no reply; 5: failed;
    141: whoever read the answer left.
    """
    mode: dict[bool | None, AnswerMode | None] = {None: None, True: "generative", False: "extractive"}
    asking: Asking = {
        "tenant": tenant,
        "mode": mode[generate],
        "top_k": top_k,
        "filters": pairs(filters or (), "--filter"),
        "principals": principals or (),
        "min_versions": dict(map(_version, after or ())),
        "wait_for_s": wait,
        "deadline_s": timeout,
    }
    text = sys.stdin.read().strip() if words == ["-"] else " ".join(words)
    if not text.strip():
        raise CommandError("the question is empty: ask in at least one word", USAGE)
    settings = load_settings()
    with explained():
        final = asyncio.run(_converse(settings, text, asking, Lines() if as_json else Page(settings.otlp_endpoint)))
    raise typer.Exit({"AnswerRefused": REJECTED, "QueryFailed": FAILED}.get(type(final).__name__, 0))


def _version(given: str) -> tuple[str, int]:
    """`DOCUMENT=VERSION`; a document's id may have an equals sign too."""
    document_id, _, version = given.rpartition("=")
    if not document_id or not version.isascii() or not version.isdigit():
        raise CommandError(f"--after {given!r} is not DOCUMENT=VERSION, for example --after handbook.md=3", USAGE)
    if int(version) > NEWEST:
        raise CommandError(f"--after {given!r}: no version is over {NEWEST}", USAGE)
    return document_id, int(version)


async def _converse(settings: "Settings", text: str, asking: "Asking", view: "Lines | Page") -> "FinalReply":
    from contextlib import aclosing

    from schemas import AnswerDelta
    from streams.client import Client

    async with Remark() as remark, Client(settings) as client, aclosing(client.ask(text, **asking)) as replies:
        async for reply in replies:
            await remark.withdraw()
            view.show(reply)
            if not isinstance(reply, AnswerDelta):
                return reply
    raise AssertionError("the last reply is a final one")


class Remark:
    """Says on standard error that the answer is awaited, where it does not come at once."""

    async def __aenter__(self) -> Self:
        self._speaking = asyncio.create_task(self._speak())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.withdraw()

    async def withdraw(self) -> None:
        """Ends it, its last trace on the terminal included."""
        if not self._speaking.done():
            self._speaking.cancel()
            await asyncio.wait({self._speaking})

    async def _speak(self) -> None:
        await asyncio.sleep(AT_ONCE_S)
        from streams.cli.activity import Activity

        with Activity(stderr=True) as activity:
            activity.now("waiting for the answer")
            await asyncio.Event().wait()


class Lines:
    """Replies for a program: one JSON object per line, the event's type beside its fields."""

    def show(self, reply: "Reply") -> None:
        import orjson

        from schemas import encode

        typer.echo(orjson.dumps({"type": reply.ce_type, **orjson.loads(encode(reply))}).decode())


class Page:
    """Replies for a person; traces are in the local store, or where the setting `otlp_endpoint` names."""

    def __init__(self, otlp_endpoint: str = "") -> None:
        self._otlp_endpoint = otlp_endpoint
        self._attempt = ""
        self._written = ""

    def show(self, reply: "Reply") -> None:
        from schemas import AnswerCompleted, AnswerDelta, AnswerRefused, QueryFailed

        match reply:
            case AnswerDelta():
                if reply.attempt != self._attempt and self._written:
                    typer.echo("\n" + dim("(another worker took over and starts anew)"))
                    self._written = ""
                self._attempt = reply.attempt
                self._written += reply.text
                typer.echo(plain(reply.text), nl=False)
                sys.stdout.flush()
            case AnswerCompleted():
                self._completed(reply)
            case AnswerRefused():
                _refused(reply)
                typer.echo(dim(f"\n{self._trail(reply)}"))
            case QueryFailed():
                _failed(reply)
                typer.echo(dim(self._trail(reply)), err=True)

    def _trail(self, reply: "FinalReply") -> str:
        """How to see where the time of this question went."""
        query_id = plain(reply.query_id)
        if self._otlp_endpoint:
            return f"headwater.query_id {query_id} in the traces at {self._otlp_endpoint}"
        return f"headwater trace {query_id}"

    def _completed(self, answer: "AnswerCompleted") -> None:
        if self._written != answer.text:
            typer.echo(("\n" if self._written else "") + plain(answer.text), nl=False)
        typer.echo()
        typer.echo("\nSources" if answer.citations else "\nNo passage supports these words: do not trust them.")
        for number, citation in enumerate(answer.citations, 1):
            typer.echo(f"[{number}] {_where(citation)}")
            typer.echo(f'    "{plain(" ".join(citation.quote.split()))}"')
        if answer.unsupported:
            typer.echo(f"\nNot in the sources, do not trust: {plain(', '.join(answer.unsupported))}")
        total = sum(answer.timings.values())
        typer.echo(
            dim(
                f"\n{answer.mode} by {plain(answer.model)}, confidence {answer.confidence:.2f}, {total:.0f} ms; "
                f"{self._trail(answer)}"
            )
        )


def _where(citation: "Citation") -> str:
    named = citation.title not in ("", citation.document_id)
    title = f"{citation.title} ({citation.document_id})" if named else citation.document_id
    parts = [f"{title}, version {citation.version}"]
    if citation.page is not None:
        parts.append(f"page {citation.page}")
    section = [heading for heading in citation.section if heading != citation.title]
    if section:
        parts.append(" > ".join(section))
    return one_line(", ".join(parts))


def _refused(refusal: "AnswerRefused") -> None:
    typer.echo(f"No answer: {plain(refusal.detail)}")
    if refusal.considered:
        typer.echo("\nConsidered")
    for passage in refusal.considered[:CONSIDERED]:
        scores = ", ".join(f"{name} {score:.2f}" for name, score in passage.scores.items())
        typer.echo(f"- {one_line(passage.title or passage.document_id)}, chunk {passage.ordinal}: {scores}")
        typer.echo(f'    "{shorten(plain(passage.text), 160, placeholder=" …")}"')


def _failed(failure: "QueryFailed") -> None:
    again = f"; try again in {failure.retry_after_s:g} s" if failure.retry_after_s else ""
    typer.echo(
        f"headwater: {plain(failure.detail)} ({failure.code}, said by the {failure.stage} stage){again}", err=True
    )
