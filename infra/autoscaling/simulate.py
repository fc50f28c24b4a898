"""The tables and the plot of docs/autoscaling.md: `python -m infra.autoscaling.simulate`; `--check` compares."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from infra.autoscaling import tables
from infra.autoscaling.plot import draw
from infra.autoscaling.scaled import ScaledObject, faults, load
from infra.autoscaling.scenarios import BLIND, BURST, NIGHT, play
from streams import pipelines
from streams.composition import Backends
from streams.pages import MARKED
from streams.runtime.segments import Segment, segments
from streams.settings import Settings
from streams.topics import TOPICS

DOCS = Path(__file__).parent.parent.parent / "docs"
PARTITIONS: Mapping[str, int] = {topic.name: topic.partitions for topic in TOPICS}


def pages(docs: Path = DOCS) -> Mapping[Path, str]:
    """Both files as they should be. Raises ValueError where the ScaledObjects do not fit the code."""
    scaled = load(PARTITIONS)
    if wrong := list(faults(scaled, stages())):
        raise ValueError("; ".join(wrong))
    burst, night, blind = (play(scenario, scaled, PARTITIONS) for scenario in (BURST, NIGHT, BLIND))
    other = {name: play(BURST, changed, PARTITIONS) for name, changed in _otherwise(scaled).items()}
    parts = {
        "settings": tables.settings(scaled),
        "replicas": tables.replicas(scaled, {"burst": burst, "night": night}),
        "arrivals": tables.arrivals({"burst": burst, "burst, Prometheus away": blind, "quiet night": night}),
        "gpus": tables.gpus(scaled, {"burst": burst, "quiet night": night}),
        "otherwise": tables.otherwise({"as it is": burst, **other}),
        "assumptions": tables.assumptions(),
    }
    page = docs / "autoscaling.md"
    text = MARKED.sub(lambda found: f"{found['name']}{found['open']}{parts[found['name']]}", page.read_text("utf-8"))
    return {page: text, docs / "autoscaling.svg": draw([burst, night], list(scaled.values()))}


def stages() -> Sequence[Segment]:
    """The segments as the Deployments host them: each stage by itself."""
    settings = Settings()
    backends = Backends(settings)
    return (
        *segments(pipelines.ingest(backends, settings), settings.ingest_segments),
        *segments(pipelines.query(backends, settings), settings.query_segments),
    )


def _otherwise(scaled: Mapping[str, ScaledObject]) -> Mapping[str, Mapping[str, ScaledObject]]:
    """The same objects without what two of their settings are there for."""
    return {
        "without the triggers on what is in use": {
            name: replace(each, triggers=each.triggers[:1]) for name, each in scaled.items()
        },
        "without windows on the way down": {
            name: replace(each, down=each.down.model_copy(update={"window_s": 0})) for name, each in scaled.items()
        },
    }


def main(arguments: list[str]) -> int:
    """0 where both are, or were made, as they should be; 1 where `--check` found one stale."""
    stale = {path: text for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        print(f"{'stale' if '--check' in arguments else 'written'}: {path}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
