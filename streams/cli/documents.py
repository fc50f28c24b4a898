"""`headwater documents`: what searches see, and how to make them forget it."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from streams.cli.problems import REJECTED, USAGE, CommandError
from streams.cli.reporting import counted, explained, named, one_line, plain
from streams.cli.sources import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from processors.ports import Head, Index
    from schemas import Chunk, DocumentDeleted, Receipt
    from streams.settings import Settings

Owner = Annotated[str, typer.Option("--tenant", help="Whose documents; default: the setting `tenant`.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]


def list_documents(
    *,
    tenant: Owner = "",
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many, by id.")] = 1000,
    as_json: AsJson = False,
) -> None:
    """List the documents that searches see."""
    settings = load_settings()
    with explained():
        heads = asyncio.run(_heads(settings, tenant or settings.tenant, limit))
    if as_json:
        typer.echo(json.dumps({"documents": [_as_data(head) for head in heads]}))
        return
    width = min(48, max((len(named(head.document_id)) for head in heads), default=0))
    for head in heads:
        published = head.published_at.astimezone().strftime("%Y-%m-%d %H:%M")
        chunks = counted(head.chunk_count, "chunk")
        title = head.title if head.title != head.document_id else ""
        typer.echo(one_line(f"{named(head.document_id):<{width}}  {chunks:>12}  {published}  {title}").rstrip())
    more = " (there may be more: --limit)" if len(heads) == limit else ""
    typer.echo(f"{counted(len(heads), 'document')} of tenant {tenant or settings.tenant}{more}")


def show(
    document_id: Annotated[str, typer.Argument(metavar="ID", help="As `documents list` prints it.")],
    *,
    tenant: Owner = "",
    as_json: AsJson = False,
) -> None:
    """Show one document: its head, and its chunks as searches find them.

    Not shown: its metadata, and its readers, of whom the index keeps digests to compare, and no names.
    """
    settings = load_settings()
    owner = tenant or settings.tenant
    with explained():
        head, chunks = asyncio.run(_document(settings, owner, document_id))
    if head is None or head.rows_version is None:
        raise CommandError(f"tenant {owner!r} has no document {document_id!r}; `headwater documents list` shows them")
    if as_json:
        import dataclasses

        typer.echo(json.dumps({**_as_data(head), "chunks": [dataclasses.asdict(chunk) for chunk in chunks]}))
        return
    for name, value in _as_data(head).items():
        typer.echo(one_line(f"{name:<13} {named(str(value)) if name == 'document_id' else value}"))
    for chunk in chunks:
        page = f"page {chunk.page}, " if chunk.page is not None else ""
        section = f"{' > '.join(chunk.section)}, " if chunk.section else ""
        typer.echo(plain(f"\n[{chunk.ordinal}] {page}{section}characters {chunk.start}-{chunk.end}"))
        typer.echo(plain(chunk.text))


def delete(
    document_ids: Annotated[list[str], typer.Argument(metavar="ID", help="As `documents list` prints them.")],
    *,
    tenant: Owner = "",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until nothing is left of them.")] = True,
    timeout: Annotated[float, typer.Option(min=0.1, max=86_400, help="Seconds to wait for all of them.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Erase documents from the index, and wait until nothing is left of them.

    Exit code 0: erased; 1: some could not be, or were not there; 3: broker unreachable; 4: gave up waiting.
    """
    with explained():
        data = asyncio.run(_erased(load_settings(), document_ids, tenant, timeout if wait else None))
    if as_json:
        typer.echo(json.dumps({"documents": data}))
    else:
        for about in data:
            said = f": {about['detail']}" if about["detail"] else ""
            typer.echo(one_line(f"{about['outcome']:<10}{named(about['document_id'])}{said}"))
    if any(about["outcome"] in ("rejected", "not found") for about in data):
        raise typer.Exit(REJECTED)


class Erasure(TypedDict):
    """What became of one deletion."""

    document_id: str
    version: int
    published_at: str
    outcome: str
    removed: dict[str, int]
    """Rows, by collection; empty where no receipt says."""
    detail: str


@asynccontextmanager
async def _opened(settings: "Settings") -> "AsyncIterator[Index]":
    from streams.composition import Backends, UnknownBackend

    try:
        index = Backends(settings).index
    except UnknownBackend as error:
        raise CommandError(f"setting {error}", USAGE) from error
    try:
        await index.open()
        yield index
    finally:
        await index.close()


async def _heads(settings: "Settings", tenant: str, limit: int) -> "Sequence[Head]":
    from schemas import Tenant

    async with _opened(settings) as index:
        return await index.heads(Tenant(tenant), limit=limit)


async def _document(settings: "Settings", tenant: str, document_id: str) -> "tuple[Head | None, Sequence[Chunk]]":
    from schemas import DocumentId, Tenant

    async with _opened(settings) as index:
        owner, wanted = Tenant(tenant), DocumentId(document_id)
        return await index.head(owner, wanted), await index.chunks(owner, wanted)


async def _erased(
    settings: "Settings", document_ids: "Sequence[str]", tenant: str, timeout_s: float | None
) -> "Sequence[Erasure]":
    from streams.client import Client

    async with Client(settings) as client:
        events = await asyncio.gather(*(client.delete(document_id, tenant=tenant) for document_id in document_ids))
        if timeout_s is None:
            return [_outcome(event, None) for event in events]
        receipts = await asyncio.gather(*(client.receipt(event, timeout_s=timeout_s) for event in events))
        return [_outcome(event, receipt) for event, receipt in zip(events, receipts, strict=True)]


def _outcome(event: "DocumentDeleted", receipt: "Receipt | None") -> Erasure:
    from schemas import DocumentErased, DocumentRejected

    removed: Mapping[str, int] = {}
    match receipt:
        case None:
            outcome, detail = "published", ""
        case DocumentErased():
            removed = receipt.removed
            rows = [f"{counted(rows, 'row')} of {name}" for name, rows in receipt.removed.items() if rows]
            outcome, detail = "erased", f"{' and '.join(rows)} removed"
            if not rows:
                outcome = "not found"
                detail = f"tenant {receipt.tenant!r} had nothing of it; `documents list` shows ids"
        case DocumentRejected():
            outcome, detail = "rejected", f"{receipt.detail} ({receipt.code})"
        case _:
            outcome, detail = "rejected", f"answered by {type(receipt).__name__}"
    return {
        "document_id": event.document_id,
        "version": event.version,
        "published_at": event.published_at.isoformat(),
        "outcome": outcome,
        "removed": dict(removed),
        "detail": detail,
    }


def _as_data(head: "Head") -> dict[str, object]:
    return {
        "document_id": head.document_id,
        "tenant": head.tenant,
        "version": head.version,
        "title": head.title,
        "media_type": head.media_type,
        "published_at": head.published_at.isoformat(),
        "chunk_count": head.chunk_count,
        "model": head.model,
    }
