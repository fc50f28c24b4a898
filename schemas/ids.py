"""Identifiers, record keys and content hashes that every part agrees on."""

import hashlib
from collections.abc import Iterable
from typing import Annotated, NewType

from pydantic import Field

TENANT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Tenant = NewType("Tenant", str)
DocumentId = NewType("DocumentId", str)
QueryId = NewType("QueryId", str)

TenantField = Annotated[Tenant, Field(pattern=TENANT_PATTERN)]
"""1-64 letters, digits, dots, underscores and dashes: no slash, so that a record key splits unambiguously."""
DocumentIdField = Annotated[DocumentId, Field(min_length=1, max_length=512)]
QueryIdField = Annotated[QueryId, Field(min_length=1, max_length=128)]
VersionField = Annotated[int, Field(ge=1, lt=2**63)]


def document_key(tenant: Tenant, document_id: DocumentId) -> str:
    """The record key on every ingest topic: one document, one partition, in order."""
    return f"{tenant}/{document_id}"


def text_hash(text: str) -> str:
    """Hex digest of a chunk's text alone, never of its position, so that a moved chunk keeps its vector."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def digest(parts: Iterable[str]) -> str:
    """Hex digest of a sequence of strings in which no two different sequences collide by concatenation."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "big"))
        state.update(data)
    return state.hexdigest()
