"""The local stack's span store: one SQLite file that many processes write to, with bounded retention."""

import fcntl
import json
import logging
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger("headwater.spans")

MAX_TRACES = 20_000
MAX_BYTES = 200 * 1024 * 1024
PRUNE_EVERY_S = 30.0
BUSY_S = 5.0
"""How long a writer waits for another process's transaction; each takes milliseconds."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS traces (trace_id TEXT PRIMARY KEY, start_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS traces_by_start ON traces (start_ns);
CREATE TABLE IF NOT EXISTS spans (
    trace_id TEXT NOT NULL,
    span_id TEXT NOT NULL,
    parent_id TEXT,
    name TEXT NOT NULL,
    service TEXT NOT NULL,
    kind TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    error TEXT,
    query_id TEXT,
    attributes TEXT NOT NULL,
    PRIMARY KEY (trace_id, span_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spans_by_query ON spans (query_id) WHERE query_id IS NOT NULL;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSpan:
    """A finished span, as plain data."""

    trace_id: str
    """32 hex digits."""
    span_id: str
    """16 hex digits."""
    parent_id: str | None
    name: str
    service: str
    kind: str
    start_ns: int
    end_ns: int
    error: str | None = None
    """What went wrong; none where nothing did."""
    query_id: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)


class SpanStore:
    """The spans of the newest traces. Any number of processes may write and read at once.

    A file that is no span store is put aside and replaced, with a warning: the pipeline must not stop for spans.
    Everything else that goes wrong is an `sqlite3.Error`.
    """

    def __init__(self, path: Path, *, max_traces: int = MAX_TRACES, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_traces = max_traces
        self._max_bytes = max_bytes
        self._pruned_at = 0.0

    def add(self, spans: Sequence[StoredSpan]) -> None:
        """Store finished spans; one that is stored already stays as it is."""
        try:
            self._write(spans)
        except sqlite3.DatabaseError as error:
            if not _damaged(error):
                raise
            self._put_aside()
            self._write(spans)

    def trace(self, trace_id: str) -> list[StoredSpan]:
        """All spans of a trace, by their start."""
        with self._reading() as database:
            rows = database.execute("SELECT * FROM spans WHERE trace_id = ? ORDER BY start_ns", (trace_id,)).fetchall()
        return [_span(row) for row in rows]

    def find(self, prefix: str, *, limit: int = 10) -> list[str]:
        """Ids of the traces whose own id, or the id of a question in it, starts with `prefix`; newest first.

        Where one is exactly `prefix`, it alone.
        """
        ends = (prefix, prefix + "\U0010ffff")
        with self._reading() as database:
            for first, last in ((prefix, prefix), ends):
                rows = database.execute(
                    "SELECT trace_id FROM traces WHERE trace_id BETWEEN ? AND ?"
                    " OR trace_id IN (SELECT trace_id FROM spans WHERE query_id BETWEEN ? AND ?)"
                    " ORDER BY start_ns DESC LIMIT ?",
                    (first, last, first, last, limit),
                ).fetchall()
                if rows:
                    break
        return [row["trace_id"] for row in rows]

    def newest(self) -> str | None:
        """Id of the trace that started last."""
        found = self.find("", limit=1)
        return found[0] if found else None

    def _write(self, spans: Sequence[StoredSpan]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as database:
            # A power cut may cost spans, and a damaged file is replaced: not worth waiting for the disk.
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN IMMEDIATE")
            database.executemany(
                "INSERT INTO traces VALUES (?, ?)"
                " ON CONFLICT DO UPDATE SET start_ns = min(start_ns, excluded.start_ns)",
                [(span.trace_id, span.start_ns) for span in spans],
            )
            database.executemany(
                "INSERT OR IGNORE INTO spans VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [_row(span) for span in spans]
            )
            if time.monotonic() - self._pruned_at > PRUNE_EVERY_S:
                self._prune(database)
                self._pruned_at = time.monotonic()
            database.execute("COMMIT")

    def _prune(self, database: sqlite3.Connection) -> None:
        traces = database.execute("SELECT count(*) FROM traces").fetchone()[0]
        pages, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
        surplus = max(0, traces - self._max_traces)
        if (pages - free) * size > self._max_bytes:
            surplus = max(surplus, traces // 10 + 1)
        oldest = "SELECT trace_id FROM traces ORDER BY start_ns LIMIT ?"
        database.execute(f"DELETE FROM spans WHERE trace_id IN ({oldest})", (surplus,))  # noqa: S608
        database.execute(f"DELETE FROM traces WHERE trace_id IN ({oldest})", (surplus,))  # noqa: S608

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=BUSY_S, isolation_level=None)
        try:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)
            yield database
        finally:
            database.close()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            raise FileNotFoundError(
                2, "no span store here; `headwater up` and a first question make one", str(self._path)
            )
        with self._connection() as database:
            yield database

    def _put_aside(self) -> None:
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                with self._connection() as database:
                    database.execute("SELECT count(*) FROM traces").fetchone()
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    return  # another process has replaced it meanwhile
                aside = self._path.with_suffix(".damaged")
                self._path.replace(aside)
                for name in ("-wal", "-shm"):
                    Path(f"{self._path}{name}").unlink(missing_ok=True)
                log.warning("span store replaced", extra={"reason": str(error), "kept": str(aside)})


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return error.sqlite_errorcode in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


def _row(span: StoredSpan) -> tuple[object, ...]:
    return (
        span.trace_id,
        span.span_id,
        span.parent_id,
        span.name,
        span.service,
        span.kind,
        span.start_ns,
        span.end_ns,
        span.error,
        span.query_id,
        json.dumps(dict(span.attributes)),
    )


def _span(row: sqlite3.Row) -> StoredSpan:
    values = {name: row[name] for name in row.keys()}  # noqa: SIM118 - a Row iterates over its values
    return StoredSpan(**values | {"attributes": json.loads(row["attributes"])})
