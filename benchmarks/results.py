"""What a benchmark hands to the report: figures, their targets, and the circumstances they were measured in."""

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import orjson
import typer
from pydantic import TypeAdapter

RESULTS = Path(".headwater/bench")
"""Not committed; `python -m benchmarks.report` renders what lies there."""

Cores = Annotated[int, typer.Option(help="Cores that everything shares.")]
Results = Annotated[Path, typer.Option(help="Where to leave the result.")]

PACKAGES = (
    "confluent-kafka",
    "faust-streaming",
    "aiokafka",
    "pymilvus",
    "milvus-lite",
    "onnxruntime",
    "orjson",
    "pydantic",
    "unstructured",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The bound that a figure's median is held to."""

    at: Literal["most", "least"]
    value: float

    def met(self, value: float) -> bool:
        return value <= self.value if self.at == "most" else value >= self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured quantity, once per repeat."""

    name: str
    unit: str
    samples: tuple[float, ...]
    """One value per repeat, warm-up excluded."""
    target: Target | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def met(self) -> bool | None:
        """None where there is no target."""
        return self.target.met(self.median) if self.target else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Where and when a benchmark ran: figures of different machines are not comparable."""

    commit: str
    machine: str
    python: str
    versions: dict[str, str]
    started: str
    load: float
    """Runnable processes, averaged over the minute before the start."""


@dataclass(frozen=True, slots=True)
class Result:
    """A benchmark's outcome."""

    benchmark: str
    method: str
    """What was done, for the report's reader."""
    figures: tuple[Figure, ...]
    where: Circumstances
    parameters: Mapping[str, str | int | float] = field(default_factory=dict)


ADAPTER = TypeAdapter(Result)


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of 100 values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def circumstances() -> Circumstances:
    """What the report says beside the figures; call before the work, so that the load is not the benchmark's own."""
    dirty = _git("status", "--porcelain", "--untracked-files=no", "--", "schemas", "processors", "streams")
    return Circumstances(
        commit=_git("rev-parse", "--short=12", "HEAD") + (" with local changes" if dirty else ""),
        machine=f"{_cpu()}, {_cores()} cores, {_memory_gib():.0f} GiB, {platform.system()}",
        python=platform.python_version(),
        versions={name: version(name) for name in PACKAGES},
        started=datetime.now(UTC).isoformat(timespec="minutes"),
        load=round(os.getloadavg()[0], 1),
    )


def save(result: Result, folder: Path = RESULTS) -> Path:
    """Write the result where the report looks for it, in place of the last one of the same benchmark."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.benchmark}.json"
    path.write_bytes(orjson.dumps(asdict(result), option=orjson.OPT_INDENT_2))
    return path


def hand_in(result: Result, folder: Path) -> None:
    """Save the result and say what came out."""
    for figure in result.figures:
        verdict = {True: "", False: "  MISSED", None: ""}[figure.met]
        target = f"  (at {figure.target.at} {figure.target.value:g})" if figure.target else ""
        spread = f"{min(figure.samples):.3g} - {max(figure.samples):.3g}"
        print(f"{figure.name}: {figure.median:.3g} {figure.unit}  [{spread}]{target}{verdict}")
    print(save(result, folder))


def load(path: Path) -> Result:
    return ADAPTER.validate_json(path.read_bytes())


def _git(*arguments: str) -> str:
    done = subprocess.run(("git", *arguments), capture_output=True, text=True, check=False)
    return done.stdout.strip() or ("unknown" if done.returncode else "")


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
