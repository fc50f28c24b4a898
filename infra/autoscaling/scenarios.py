"""What happens to a deployment, and what is kept of how it took it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from random import Random

from infra.autoscaling.assumed import POOLS, Assumed
from infra.autoscaling.scaled import ScaledObject
from infra.autoscaling.world import Outcomes, World

MINUTE_S, HOUR_S = 60, 3_600
SEED = 1
TOO_EARLY_S = 30 * MINUTE_S
"""Replicas that are added within this time of others being taken away should have stayed."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Arrivals over some hours; both are drawn by Poisson around these rates."""

    name: str
    hours: float
    documents_s: Callable[[int], float]
    questions_s: Callable[[int], float]
    generative: float
    """Share of the questions that a language model answers."""
    prometheus_away_s: tuple[int, int] = (0, 0)


@dataclass(slots=True)
class Run:
    """What was seen, second by second, and what came of it."""

    scenario: Scenario
    outcomes: Outcomes
    replicas: dict[str, list[int]]
    serving: dict[str, list[int]]
    worst: dict[str, float]
    """The largest value that each trigger gave, by what it reads."""
    card_s: dict[str, int]
    """Seconds of GPUs paid for, by pool."""
    published: int = 0
    asked: int = 0
    last_published_s: int = 0

    def changes(self, name: str) -> Sequence[tuple[int, int]]:
        """When an object's replicas changed, and by how many."""
        seen = self.replicas[name]
        return [(at_s, now - before) for at_s, (before, now) in enumerate(pairwise(seen)) if now != before]

    def flaps(self, name: str) -> int:
        """How often replicas were added shortly after some had been taken away."""
        changes = self.changes(name)
        return sum(
            before < 0 < now and later_s - at_s < TOO_EARLY_S for (at_s, before), (later_s, now) in pairwise(changes)
        )

    def starts(self, name: str) -> int:
        """How often it came up from nothing."""
        seen = self.replicas[name]
        return sum(before == 0 < now for before, now in pairwise(seen))


def _burst_documents(now_s: int) -> float:
    return 100 if 10 * MINUTE_S <= now_s < 25 * MINUTE_S else 0


def _burst_questions(now_s: int) -> float:
    """From 2 a second to 50 in ten minutes, half an hour of that, and down again."""
    risen = min(1.0, max(0.0, (now_s - 10 * MINUTE_S) / (10 * MINUTE_S)))
    fallen = min(1.0, max(0.0, (now_s - 50 * MINUTE_S) / (10 * MINUTE_S)))
    return 2 + 48 * (risen - fallen)


BURST = Scenario("burst", 2, _burst_documents, _burst_questions, 0.9)
BLIND = Scenario(
    "blind burst", 2, _burst_documents, _burst_questions, 0.9, prometheus_away_s=(5 * MINUTE_S, 45 * MINUTE_S)
)
NIGHT = Scenario("quiet night", 8, lambda now_s: 1 / HOUR_S, lambda now_s: 0.05, 0.9)


def play(
    scenario: Scenario, scaled: Mapping[str, ScaledObject], partitions: Mapping[str, int], seed: int = SEED
) -> Run:
    """The scenario from its first second to its last; the same each time for the same seed."""
    random = Random(seed)  # noqa: S311  # arrivals, and no secret
    world = World(scaled, {name: partitions[topic] for name, topic in _topics(scaled).items()}, Assumed(), random)
    run = Run(
        scenario,
        world.outcomes,
        {name: [] for name in scaled},
        {name: [] for name in scaled},
        dict.fromkeys((trigger.of for each in scaled.values() for trigger in each.triggers), 0.0),
        dict.fromkeys((pool for pool, _ in POOLS.values()), 0),
    )
    away_s, back_s = scenario.prometheus_away_s
    for now_s in range(int(scenario.hours * HOUR_S)):
        documents = _poisson(scenario.documents_s(now_s), random)
        questions = _poisson(scenario.questions_s(now_s), random)
        world.second(now_s, documents, questions, scenario.generative, prometheus=not away_s <= now_s < back_s)
        run.published, run.asked = run.published + documents, run.asked + questions
        run.last_published_s = now_s if documents else run.last_published_s
        _note(run, world, now_s)
    return run


def _note(run: Run, world: World, now_s: int) -> None:
    for name, pods in world.pods.items():
        run.replicas[name].append(len(pods))
        run.serving[name].append(pods.serving(now_s))
    for seen in (world.lags(), world.scraped):
        for read, value in seen.items():
            run.worst[read] = max(run.worst[read], value)
    for name, pool in world.pools.items():
        run.card_s[name] += pool.paid(now_s)


def _topics(scaled: Mapping[str, ScaledObject]) -> Mapping[str, str]:
    """The topic that each stage's workers read."""
    return {name: each.triggers[0].of for name, each in scaled.items() if each.triggers[0].kind == "kafka"}


def _poisson(mean: float, random: Random) -> int:
    """Knuth's way: as many draws as multiply to more than exp(-mean)."""
    limit, product, count = exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
