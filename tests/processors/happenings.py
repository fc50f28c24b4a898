"""Events as their producers would make them, in one line each."""

from dataclasses import replace
from typing import Any

from processors.conformance.documents import NOON, embedded, head, published_at, slices
from schemas import DocumentDeleted, DocumentId, QueryAsked, QueryId, ReplyTo, Tenant

__all__ = ["ACME", "NOON", "asked", "deleted", "embedded", "head", "published_at", "slices"]

ACME = Tenant("acme")


def deleted(document_id: str = "handbook", *, version: int, tenant: str = ACME) -> DocumentDeleted:
    return DocumentDeleted(
        tenant=Tenant(tenant),
        document_id=DocumentId(document_id),
        version=version,
        published_at=published_at(),
    )


def asked(text: str, **changes: Any) -> QueryAsked:
    """A question of somebody at ACME."""
    query = QueryAsked(
        query_id=QueryId("q-1"),
        tenant=ACME,
        text=text,
        reply_to=ReplyTo(topic="answers", partition=0),
        asked_at=NOON,
    )
    return replace(query, **changes)
