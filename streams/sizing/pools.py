"""What the servers of a model are, and which models and cards there are to choose from."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TypeVar

from streams.sizing.models import EMBEDDERS, Card, Model

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """Which model runs on which card, by their names in streams/sizing/models.py; a model also by its config.json."""

    embed_model: str = ""
    """Empty: the smallest whose vectors are as wide as the load's."""
    rerank_model: str = "bge-reranker-base"
    generate_model: str = "Qwen2.5-7B-Instruct"
    embed_card: str = "L4"
    rerank_card: str = "L4"
    generate_card: str = "H100"
    query_node: str = "r7i.2xlarge"

    def embedder(self, dimensions: int) -> str:
        fitting = [name for name, model in EMBEDDERS.items() if model.hidden == dimensions]
        if not self.embed_model and not fitting:
            wide = ", ".join(f"{name} ({model.hidden})" for name, model in EMBEDDERS.items())
            raise ValueError(f"no embedding model with {dimensions} dimensions is known: name the nearest of {wide}")
        return self.embed_model or fitting[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSize:
    """The servers of one model."""

    pool: str
    model: str
    card: str
    servers: int
    """Copies of the model; 0: nothing asks for it."""
    cards_per_server: int
    machine: str
    machines: int
    weight_bytes: float
    """Of one server, over all its cards, as the next."""
    cache_bytes: float
    memory_bytes: float
    """What the server's cards offer."""
    latency_s: float
    """Of one call under load: a batch for embed and rerank, a whole answer for generate."""
    arithmetic: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def cards(self) -> int:
        return self.servers * self.cards_per_server


def shape(name: str, among: Mapping[str, Model], kind: str) -> Model:
    """Of a model that is known here, or whose config.json is named."""
    return Model.read(Path(name)) if name.endswith(".json") else known(name, among, f"{kind} (nor a config.json)")


@dataclass(frozen=True, slots=True)
class Fleet:
    """Servers on machines."""

    machine: str
    machines: int
    servers: int
    cards: int
    """Of all machines, used or not: they are paid for."""
    arithmetic: str


def spread(card: Card, needed: int, cards: int, replicas: int) -> Fleet:
    """On the smallest machine that holds a server of so many cards: `needed` are left with all but one replica away."""
    machine, there = next((name, number) for name, number in card.machines.items() if number >= cards)
    machines = ceil(needed / (there // cards)) + replicas - 1 if needed else 0
    servers = min(machines * (there // cards), needed * replicas)
    arithmetic = f"{needed}, and with {replicas - 1} of {machines} machines away: {servers}"
    return Fleet(machine, machines, servers, machines * there, arithmetic)


def known(name: str, among: Mapping[str, T], kind: str) -> T:
    if name not in among:
        raise ValueError(f"no {kind} is called {name!r}; there are {', '.join(among)}")
    return among[name]
