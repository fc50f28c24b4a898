"""What became of every document of an ingestion, while it runs and at its end."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from streams.cli.files import Found, Unreadable
from streams.cli.reporting import counted, named, one_line
from streams.media_types import BY_SUFFIX

if TYPE_CHECKING:
    from rich.progress import Progress

    from schemas import Receipt
    from streams.cli.activity import Activity

Kind = Literal["indexed", "unchanged", "published", "rejected"]
LISTED = 16
"""So many fit a person's screen; of more, what was rejected is shown, and `--json` has all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    path: Path
    document_id: str
    kind: Kind
    version: int | None = None
    """What `ask --after` waits for; None where it was never published."""
    chunks: int = 0
    embedded: int = 0
    replaces: int | None = None
    """The version that searches saw before."""
    code: str = ""
    detail: str = ""
    stage: str = ""
    """That rejected it; empty where it was never published."""

    @classmethod
    def of(cls, file: Found, receipt: "Receipt") -> "Outcome":
        """What the pipeline's receipt says."""
        from schemas import DocumentErased, DocumentIndexed, DocumentRejected, DocumentUnchanged

        about, version = (file.path, file.document_id), receipt.version
        match receipt:
            case DocumentIndexed():
                return cls(*about, "indexed", version, receipt.chunks, receipt.embedded, receipt.replaces)
            case DocumentUnchanged():
                return cls(*about, "unchanged", version)
            case DocumentRejected():
                code, detail, stage = receipt.code, receipt.detail, receipt.stage
                return cls(*about, "rejected", version, code=code, detail=detail, stage=stage)
            case DocumentErased():
                return cls(*about, "rejected", version, code="erased", detail="deleted while under way")

    @classmethod
    def unreadable(cls, entry: Unreadable) -> "Outcome":
        """A file that never left this machine."""
        return cls(entry.path, "", "rejected", code=entry.code, detail=entry.reason)

    def __str__(self) -> str:
        version = f"version {self.version}"
        match self.kind:
            case "indexed":
                reused = self.chunks - self.embedded
                what = f"{counted(self.chunks, 'chunk')}, {self.embedded} embedded, {reused} reused, {version}"
            case "rejected":
                what = f"{self.detail} ({self.code})"
            case _:
                what = version
        shown = "replaced" if self.replaces is not None else self.kind
        called = f" as {named(self.document_id)}" if self.document_id not in ("", str(self.path)) else ""
        return one_line(f"{shown:<10}{self.path}{called}: {what}")


class Summary:
    """Counts outcomes; a progress bar where a person watches, a line per document where none does."""

    def __init__(self, *, total: int, hidden: int, quiet: bool) -> None:
        self._total = total
        self._hidden = hidden
        self._quiet = quiet
        self._outcomes: list[Outcome] = []
        self._under_way: dict[Path, Outcome] = {}
        self._shown = ExitStack()
        self._bar: Progress | None = None
        self._activity: Activity | None = None
        self.timed_out = False
        self.broken_off = False

    def __enter__(self) -> Self:
        if not self._quiet and sys.stdout.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("ingesting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = self._shown.enter_context(Progress(*columns, transient=True))
            self._bar.add_task("", total=self._total)
        elif not self._quiet:
            from streams.cli.activity import Activity

            self._activity = self._shown.enter_context(Activity())
            self._activity.now(self._progress)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()

    def published(self, outcome: Outcome) -> None:
        """The broker has it; its receipt is awaited."""
        self._under_way[outcome.path] = outcome

    def note(self, outcome: Outcome) -> None:
        self._under_way.pop(outcome.path, None)
        self._outcomes.append(outcome)
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])
        elif self._activity is not None:
            self._activity.now(self._progress)
            self._activity.done(plain=str(outcome))

    @property
    def _progress(self) -> str:
        return f"ingesting: {len(self._outcomes)} of {self._total} done"

    @property
    def rejected(self) -> list[Outcome]:
        return [outcome for outcome in self._outcomes if outcome.kind == "rejected"]

    @property
    def begun(self) -> bool:
        """Whether there is something to tell."""
        return bool(self._outcomes or self._under_way)

    @property
    def unanswered(self) -> int:
        return self._total - len(self._outcomes)

    def as_text(self, *, waited: bool) -> str:
        counts = Counter(outcome.kind for outcome in self._outcomes)
        chunks = sum(outcome.chunks for outcome in self._outcomes)
        embedded = sum(outcome.embedded for outcome in self._outcomes)
        replaced = sum(outcome.replaces is not None for outcome in self._outcomes)
        shown = self._outcomes if self._total <= LISTED else self.rejected
        lines = [f"  {outcome}" for outcome in shown] if self._bar is not None else []
        lines += self._remarks()
        lines.append(
            f"{counts['indexed']} indexed ({counted(chunks, 'chunk')}: {embedded} embedded, {chunks - embedded} "
            f"reused{f'; {replaced} in place of another version' if replaced else ''}), "
            f"{counts['unchanged']} unchanged, {counts['rejected']} rejected"
            if waited
            else f"{counts['published']} published, {counts['rejected']} rejected"
        )
        if self.timed_out:
            lines.append(
                f"{self.unanswered} without a receipt so far; what was published is safe in the broker: are workers "
                "running? `headwater status` shows it"
            )
        if self.broken_off:
            lines += [f"  {outcome}" for outcome in self._under_way.values()]
            lines.append(
                f"broken off with {self.unanswered} without a receipt, {len(self._under_way)} of them published; those "
                "go on being indexed, and the same command publishes the rest"
            )
        return "\n".join(lines)

    def _remarks(self) -> Iterator[str]:
        """What is said once, however many documents it is about."""
        if self._hidden:
            entries = "1 hidden entry was" if self._hidden == 1 else f"{self._hidden} hidden entries were"
            yield f"{entries} left out (names that begin with a dot; name such a file or folder itself to ingest it)"
        if any(outcome.code == "unsupported-media-type" for outcome in self._outcomes):
            yield f"files are read by their names: {', '.join(BY_SUFFIX)}; others as what --media-type says"
        if any(outcome.stage for outcome in self._outcomes):
            yield (
                "`headwater dlq list` keeps what the stages rejected: mend the file, ingest it again, then "
                "`headwater dlq drop` its letter"
            )

    def as_data(self) -> dict[str, object]:
        counts = Counter(outcome.kind for outcome in self._outcomes)
        return {
            **{kind: counts[kind] for kind in ("indexed", "unchanged", "published", "rejected")},
            "chunks": sum(outcome.chunks for outcome in self._outcomes),
            "embedded": sum(outcome.embedded for outcome in self._outcomes),
            "unanswered": self.unanswered,
            "under_way": [
                {"document_id": each.document_id, "version": each.version} for each in self._under_way.values()
            ],
            "hidden": self._hidden,
            "documents": [
                {
                    "path": str(outcome.path),
                    "document_id": outcome.document_id,
                    "version": outcome.version,
                    "outcome": outcome.kind,
                    "chunks": outcome.chunks,
                    "embedded": outcome.embedded,
                    "replaces": outcome.replaces,
                    "code": outcome.code,
                    "detail": outcome.detail,
                }
                for outcome in self._outcomes
            ],
        }
