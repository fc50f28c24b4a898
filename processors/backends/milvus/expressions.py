"""Filter expressions over Milvus rows: whatever a user gives gets in through `quoted` alone."""

from collections.abc import Sequence
from typing import Any

from processors.backends.milvus.schema import Form, Sets
from processors.ports import Search
from schemas import DocumentId, Scalar, Tenant, digest

EVERYBODY = "*"
"""As a reader, in an array: a document that names none."""
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def document_key(tenant: Tenant, document_id: DocumentId) -> str:
    """A document's name in filters: 32 hex digits, so that no id needs quoting or a length limit."""
    return digest((tenant, document_id))


def reader_token(reader: str) -> str:
    return digest(("reader", reader))


def label_token(field: str, value: Scalar) -> str:
    """Equal for equal values: 2 and 2.0 are one number, but "2" is a text and True is neither."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return digest(("label", field, type(value).__name__, str(value)))


def tokens(items: Any) -> str:
    """A set of hex tokens in one text, each found by `like "%|token|%"`; empty for none.

    Milvus Lite evaluates array and JSON filters row by row (1.2 s over 50,000 rows), this form in bulk.
    """
    joined = "|".join(sorted(set(items)))
    return f"|{joined}|" if joined else ""


def quoted(value: str) -> str:
    """The only way a value gets into an expression: a string literal that ends nowhere but at its end."""
    return f'"{value.translate(ESCAPES)}"'


def among(field: str, values: Sequence[str]) -> str:
    return f"{field} in [{', '.join(quoted(value) for value in values)}]"


def of_tenant(tenant: Tenant, form: Form) -> str:
    """A tenant's rows."""
    if form.routed:
        return f"tenant == {quoted(tenant)}"
    return f"tenant >= {quoted(tenant)} and tenant <= {quoted(tenant)}"  # the same, in all partitions


def rows_of(tenant: Tenant, document_id: DocumentId, form: Form, *, version: int, content: str) -> str:
    """One version's rows; `content` excludes what an abandoned writer left of another text under the same version."""
    return f"{all_rows_of(tenant, document_id, form)} and version == {version} and digest == {quoted(content)}"


def all_rows_of(tenant: Tenant, document_id: DocumentId, form: Form) -> str:
    return f"{of_tenant(tenant, form)} and document == {quoted(document_key(tenant, document_id))}"


def visible(search: Search, form: Form) -> str:
    """What a search may see: its tenant, documents its principals may read, metadata as its filters say."""
    clauses, sets = [of_tenant(search.tenant, form)], form.sets
    readers = [reader_token(principal) for principal in search.principals]
    if sets == "array":
        clauses.append(_any("readers", [EVERYBODY, *readers], sets))
    else:
        clauses.append(" or ".join(['readers == ""', *([_any("readers", readers, sets)] if readers else [])]))
    for field, wanted in search.filters.items():
        values = wanted if isinstance(wanted, tuple) else (wanted,)
        labels = [label_token(field, value) for value in values]
        clauses.append(_any("labels", labels, sets) if labels else "version < 0")
    return " and ".join(f"({clause})" for clause in clauses)


def _any(field: str, wanted: Sequence[str], sets: Sets) -> str:
    """Rows whose set has one of these tokens."""
    if sets == "array":
        return f"array_contains_any({field}, [{', '.join(map(quoted, wanted))}])"
    return " or ".join(f"{field} like {quoted(f'%|{token}|%')}" for token in wanted)
