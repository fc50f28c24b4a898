"""Models by their shape, cards by their datasheet, machines by their vendor's page."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A transformer's shape, as its config.json gives it."""

    layers: int
    hidden: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int
    positions: int = 0
    """Learned ones; 0: rotary."""
    gated: bool = False
    """Whether the feed-forward has a third matrix."""
    tied: bool = True
    """Whether the words that go in and those that come out share a matrix."""
    width: int = 0
    """Of a head; 0: the heads share `hidden` evenly."""

    @property
    def head_width(self) -> int:
        return self.width or self.hidden // self.heads

    @property
    def layer_parameters(self) -> int:
        """Of all layers: what every token is multiplied with. Biases and norms, under 1 %, are left out."""
        attention = 2 * self.hidden * (self.heads + self.kv_heads) * self.head_width
        return self.layers * (attention + (3 if self.gated else 2) * self.hidden * self.feed_forward)

    @property
    def parameters(self) -> int:
        words = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return self.layer_parameters + words + self.positions * self.hidden

    def flops_per_token(self, tokens: float) -> float:
        """Of one token in a text of so many: two for each parameter, and its attention to the others."""
        return 2 * self.layer_parameters + 4 * self.layers * tokens * self.heads * self.head_width

    def cache_bytes_per_token(self, value_bytes: float) -> float:
        """A key and a value for each layer and head that has its own."""
        return 2 * self.layers * self.kv_heads * self.head_width * value_bytes

    @classmethod
    def read(cls, path: Path) -> Self:
        """By a model's config.json. Raises ValueError where it is none, or one of a kind that is not known here."""
        try:
            config = json.loads(path.read_text(encoding="utf-8"))
            if experts := [name for name in config if "experts" in name]:
                raise ValueError(f"{path}: {experts[0]!r}: a mixture of experts is not sized here")
            encoder = "bert" in config["model_type"]
            heads = int(config["num_attention_heads"])
            return cls(
                layers=int(config["num_hidden_layers"]),
                hidden=int(config["hidden_size"]),
                feed_forward=int(config["intermediate_size"]),
                heads=heads,
                kv_heads=int(config.get("num_key_value_heads") or heads),
                vocabulary=int(config["vocab_size"]),
                positions=int(config["max_position_embeddings"]) if encoder else 0,
                gated=not encoder,
                tied=bool(config.get("tie_word_embeddings", encoder)),
                width=int(config.get("head_dim") or 0),
            )
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}: give a model's config.json") from error
        except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is not the config.json of a transformer: {error}") from error


def _bert(layers: int, hidden: int, *, vocabulary: int = 30_522, positions: int = 512) -> Model:
    heads = 12 if hidden < 1024 else 16
    return Model(
        layers=layers,
        hidden=hidden,
        feed_forward=4 * hidden,
        heads=heads,
        kv_heads=heads,
        vocabulary=vocabulary,
        positions=positions,
    )


EMBEDDERS: Mapping[str, Model] = {
    "all-MiniLM-L6-v2": _bert(6, 384),
    "bge-base-en-v1.5": _bert(12, 768),
    "bge-large-en-v1.5": _bert(24, 1_024),
    "bge-m3": _bert(24, 1_024, vocabulary=250_002, positions=8_194),
}
RERANKERS: Mapping[str, Model] = {
    "bge-reranker-base": _bert(12, 768, vocabulary=250_002, positions=514),
    "bge-reranker-v2-m3": _bert(24, 1_024, vocabulary=250_002, positions=8_194),
}
GENERATORS: Mapping[str, Model] = {
    "Qwen2.5-1.5B-Instruct": Model(
        layers=28, hidden=1_536, feed_forward=8_960, heads=12, kv_heads=2, vocabulary=151_936, gated=True
    ),
    "Qwen2.5-7B-Instruct": Model(
        layers=28, hidden=3_584, feed_forward=18_944, heads=28, kv_heads=4, vocabulary=152_064, gated=True, tied=False
    ),
    "Llama-3.1-8B-Instruct": Model(
        layers=32, hidden=4_096, feed_forward=14_336, heads=32, kv_heads=8, vocabulary=128_256, gated=True, tied=False
    ),
    "Llama-3.1-70B-Instruct": Model(
        layers=80, hidden=8_192, feed_forward=28_672, heads=64, kv_heads=8, vocabulary=128_256, gated=True, tied=False
    ),
}


@dataclass(frozen=True, slots=True)
class Card:
    """A GPU by its datasheet, and the machines that carry it."""

    memory_bytes: float
    flops: float
    """Dense, at 16 bits."""
    bandwidth_bytes_s: float
    machines: Mapping[str, int]
    """Instance types to the cards in each, smallest first."""


CARDS: Mapping[str, Card] = {
    "L4": Card(24e9, 121e12, 300e9, {"g6.xlarge": 1, "g6.12xlarge": 4, "g6.48xlarge": 8}),
    "A10G": Card(24e9, 70e12, 600e9, {"g5.xlarge": 1, "g5.12xlarge": 4, "g5.48xlarge": 8}),
    "A100": Card(40e9, 312e12, 1_555e9, {"p4d.24xlarge": 8}),
    "H100": Card(80e9, 989e12, 3_350e9, {"p5.4xlarge": 1, "p5.48xlarge": 8}),
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine without cards."""

    cores: int
    memory_gib: int
    nvme_bytes: float = 0.0


GENERAL_NODE, GENERAL = "m7i.2xlarge", Machine(8, 32)
BROKER_NODE = "m7i.xlarge"
"""One broker each; both as in infra/terraform/envs/prod."""
QUERY_NODES: Mapping[str, Machine] = {
    "r7i.2xlarge": Machine(8, 64),
    "r7i.4xlarge": Machine(16, 128),
    "r7i.8xlarge": Machine(32, 256),
    "r7i.16xlarge": Machine(64, 512),
    "r6id.2xlarge": Machine(8, 64, 474e9),
    "r6id.4xlarge": Machine(16, 128, 950e9),
    "r6id.8xlarge": Machine(32, 256, 1_900e9),
    "r6id.16xlarge": Machine(64, 512, 3_800e9),
}
"""With much memory; those with a `d` have NVMe disks, too."""
