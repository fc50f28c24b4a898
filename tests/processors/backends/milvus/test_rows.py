"""How large the rows are that the index plan counts with."""

from datetime import UTC, datetime

from processors.backends.milvus.rows import head_row, newest_row
from processors.index_plan import HEAD_BYTES
from processors.ports import Head
from schemas import DocumentId, Tenant


def test_a_usual_head_is_as_large_as_the_plan_counts() -> None:
    head = Head(
        tenant=Tenant("a-tenant"),
        document_id=DocumentId("handbook/department/a-document-of-usual-name.html"),
        version=1_700_000_000_000,
        rows_version=1_700_000_000_000,
        previous_rows_version=1_690_000_000_000,
        flipped_at=datetime(2026, 1, 1, tzinfo=UTC),
        published_at=datetime(2026, 1, 1, tzinfo=UTC),
        digest="0" * 32,
        chunk_count=25,
        model="sentence-transformers/all-MiniLM-L6-v2/mean/0123456789abcdef",
        title="A title of some forty characters, more or less",
        media_type="text/html",
    )
    for row in (head_row(head), newest_row(head)):
        texts = sum(len(value.encode()) for value in row.values() if isinstance(value, str))
        # 8 bytes for each number and for each of the anchor's two as a float and its place.
        numbers = 8 * (2 + sum(isinstance(value, int) for value in row.values()))
        assert 0.75 * HEAD_BYTES < texts + numbers <= HEAD_BYTES
