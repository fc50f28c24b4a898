"""The parts of docs/ and infra/ that are made from the code: `python -m streams.pages` writes them, `--check` compares.

A page marks such a part with `<!-- generated: NAME -->` and `<!-- end -->`; the text around it is a person's.
"""

import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import chdir, redirect_stdout
from pathlib import Path

import orjson

from schemas import EVENTS, contract
from streams import asyncapi, drawing, pipelines, strimzi
from streams.cli import COMMANDS, Lazy
from streams.cli import load as loaded
from streams.composition import Backends
from streams.runtime.segments import segments
from streams.settings import Settings
from streams.sizing.figures import Figures
from streams.sizing.models import CARDS, EMBEDDERS, GENERATORS, RERANKERS
from streams.topics import TOPICS

CHECKOUT = Path(__file__).parent.parent
DOCS = CHECKOUT / "docs"
KAFKA = CHECKOUT / "infra" / "k8s" / "base" / "kafka"
MARKED = re.compile(r"(?<=<!-- generated: )(?P<name>[^>]+)(?P<open> -->\n)(?P<body>.*?)(?=<!-- end -->)", re.DOTALL)
MAX_VECTOR_CHARS = 64
"""Of a base64 vector in an example; nobody reads the other two thousand."""


def pages(docs: Path = DOCS, kafka: Path = KAFKA) -> Mapping[Path, str]:
    """Every file that is made from the code, wholly or in parts, as it should be."""
    settings = Settings()
    backends = Backends(settings)
    ingest, query = pipelines.ingest(backends, settings), pipelines.query(backends, settings)
    workers = [*segments(ingest, settings.ingest_segments), *segments(query, settings.query_segments)]
    marked = (docs / "wire.md", docs / "sizing.md")
    return {
        docs / "asyncapi.json": asyncapi.render().decode(),
        docs / "flow.svg": drawing.draw(ingest, query),
        kafka / "topics.yaml": strimzi.topics(),
        kafka / "users.yaml": strimzi.users(workers),
    } | {page: filled(page.read_text(encoding="utf-8")) for page in marked}


def filled(page: str) -> str:
    """The page with its marked parts made anew. Raises KeyError for a name that nothing makes."""
    parts = _parts()

    def made(name: str) -> str:
        return _printed(name) if name.startswith("headwater ") else parts[name]()

    return MARKED.sub(lambda found: f"{found['name']}{found['open']}{made(found['name'])}", page)


def _parts() -> Mapping[str, Callable[[], str]]:
    parts: dict[str, Callable[[], str]] = {
        "topics": _topics,
        "headers": lambda: _table(
            ("header", "value"), {f"`{name}`": words for name, words in asyncapi.HEADERS.items()}
        ),
        "dead letter headers": lambda: _table(
            ("header", "value"), {f"`{name}`": words for name, words in asyncapi.DEAD_LETTER_HEADERS.items()}
        ),
    }
    parts |= {"figures": _figures, "models": _models, "cards": _cards}
    for event in EVENTS:
        for case, value in contract.examples(event).items():
            name = f"{event.ce_type} {case}".strip()
            parts[name] = lambda value=value: _example(value)  # type: ignore[misc]  # a default binds the loop's value
    return parts


def _topics() -> str:
    rows = {
        f"`{topic.name}`": " | ".join(
            (
                ", ".join(event.__name__ for event in topic.events),
                f"`{topic.key}`",
                str(topic.partitions),
                f"{topic.retention_ms / 86_400_000:g} d",
                f"`{topic.dead_letter_name}`" if topic.dead_letters else "none",
            )
        )
        for topic in TOPICS
    }
    return _table(("topic", "events", "key", "partitions", "kept", "dead letters"), rows)


def _printed(command: str) -> str:
    """A command that asks nobody, and what it prints."""
    _, word, *arguments = shlex.split(command)
    entry = COMMANDS[word]
    assert isinstance(entry, Lazy)
    with chdir(DOCS.parent), redirect_stdout(io.StringIO()) as printed:
        loaded(word, entry).main(arguments, standalone_mode=False)
    return f"```console\n$ {command}\n{printed.getvalue()}```\n"


def _figures() -> str:
    return _table(
        ("figure", "value", "source"), {f"`{each.name}`": f"{each.value:,.10g} | {each.source}" for each in Figures()}
    )


def _models() -> str:
    rows = {}
    for pool, models in (("embed", EMBEDDERS), ("rerank", RERANKERS), ("generate", GENERATORS)):
        for name, model in models.items():
            shape = f"{model.layers} x {model.hidden} x {model.feed_forward}, {model.kv_heads} of {model.heads} heads"
            rows[name] = f"{pool} | {shape} | {model.parameters / 1e6:,.0f} M"
    return _table(("model", "pool", "layers x hidden x feed-forward, heads with a cache", "parameters"), rows)


def _cards() -> str:
    rows = {
        name: f"{card.memory_bytes / 1e9:g} GB | {card.flops / 1e12:g} | {card.bandwidth_bytes_s / 1e9:,.0f} GB/s | "
        + ", ".join(f"{machine} ({number})" for machine, number in card.machines.items())
        for name, card in CARDS.items()
    }
    return _table(("card", "memory", "TFLOPS at 16 bits, dense", "bandwidth", "machines (cards)"), rows)


def _table(columns: tuple[str, ...], rows: Mapping[str, str]) -> str:
    head = f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n"
    return head + "".join(f"| {name} | {rest} |\n" for name, rest in rows.items())


def _example(value: bytes) -> str:
    record = orjson.loads(value)
    if len(record.get("vectors", "")) > MAX_VECTOR_CHARS:
        record["vectors"] = record["vectors"][:MAX_VECTOR_CHARS]
    return f"```json\n{json.dumps(record, indent=2, ensure_ascii=False)}\n```\n"


def main(arguments: list[str]) -> int:
    """0 where everything is, or was made, as it should be; 1 where `--check` found a stale file."""
    stale = {path: text for path, text in pages().items() if not path.exists() or path.read_text("utf-8") != text}
    for path, text in stale.items():
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
        print(f"{'stale' if '--check' in arguments else 'written'}: {path}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
