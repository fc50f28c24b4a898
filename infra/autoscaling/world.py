"""A deployment second by second: documents and questions through stages and servers, and what is measured of them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from random import Random

from infra.autoscaling.assumed import POOLS, Assumed
from infra.autoscaling.hpa import Autoscaler
from infra.autoscaling.pods import Pods, Pool
from infra.autoscaling.queues import Cohort, Queue, Stage
from infra.autoscaling.scaled import ScaledObject

QUICK_S = 0.1
"""What retrieving, reranking or quoting takes of a question's time while nothing waits."""


@dataclass(slots=True)
class Outcomes:
    """What became of everything that arrived."""

    documents: list[Cohort] = field(default_factory=list)
    """Seconds from published to searchable, and how many took so long."""
    answers: list[Cohort] = field(default_factory=list)
    refused: int = 0
    too_late: int = 0
    cleared_s: int = 0
    """When the last document was searchable."""


@dataclass(slots=True)
class World:
    """All stages and servers, at the start with the replicas that are there when nothing happens."""

    scaled: Mapping[str, ScaledObject]
    partitions: Mapping[str, int]
    assumed: Assumed
    random: Random
    outcomes: Outcomes = field(default_factory=Outcomes)
    pools: dict[str, Pool] = field(init=False)
    pods: dict[str, Pods] = field(init=False)
    autoscalers: dict[str, Autoscaler] = field(init=False)
    stages: dict[str, Stage] = field(init=False)
    waiting: Queue = field(default_factory=Queue)
    """Accepted by a generate worker, not yet by vLLM."""
    running: deque[tuple[int, int, int]] = field(default_factory=deque)
    """Answers that vLLM writes: when they end, when they were asked, how many."""
    reranked: deque[int] = field(default_factory=lambda: deque(maxlen=120))
    """Questions a second, for a rate over two minutes."""
    scraped: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assumed = self.assumed
        self.pools = {
            pool: Pool(cards, int(assumed.gpu_node_s), int(assumed.gpu_node_idle_s)) for pool, cards in POOLS.values()
        }
        self.pods = {name: Pods(int(assumed.worker_start_s)) for name in self.scaled}
        for name, (pool, _) in POOLS.items():
            self.pods[name] = Pods(
                int(assumed.vllm_start_s if name == "vllm" else assumed.tei_start_s), self.pools[pool]
            )
        self.autoscalers = {name: Autoscaler(scaled) for name, scaled in self.scaled.items()}
        each_s = {
            "chunk": assumed.chunk_documents_s,
            "embed": assumed.embed_documents_s,
            "upsert": assumed.upsert_documents_s,
            "retrieve": assumed.retrieve_questions_s,
            "rerank": assumed.query_worker_questions_s,
            "generate": assumed.query_worker_questions_s,
        }
        self.stages = {
            name: Stage(self.pods[name], rate, self.partitions[name], assumed.rebalance_s)
            for name, rate in each_s.items()
        }
        for name, scaled in self.scaled.items():
            self.pods[name].scale(-3_600, scaled.least)

    def second(self, now_s: int, documents: int, questions: int, generative: float, *, prometheus: bool) -> None:
        """Arrivals, work, measurements, decisions. `prometheus`: whether it can be asked."""
        self._ingest(now_s, documents)
        self._query(now_s, questions, generative)
        if now_s % self.assumed.scrape_s == 7:  # not in step with those who ask
            self.scraped = self._measured(now_s)
        lags = self.lags()
        for name, scaled in self.scaled.items():
            read = [
                lags[trigger.of] if trigger.kind == "kafka" else self.scraped.get(trigger.of) if prometheus else None
                for trigger in scaled.triggers
            ]
            pods = self.pods[name]
            pods.scale(now_s, self.autoscalers[name].step(now_s, len(pods), read))

    def lags(self) -> Mapping[str, float]:
        """Of each topic with a group."""
        topics = ("documents", "chunks", "vectors", "queries", "candidates", "evidence")
        return {topic: stage.lag for topic, stage in zip(topics, self.stages.values(), strict=True)}

    def _ingest(self, now_s: int, documents: int) -> None:
        chunk, embed, upsert = (self.stages[name] for name in ("chunk", "embed", "upsert"))
        assumed, held_s = self.assumed, self.assumed.commit_s
        embedded_s = self.pods["tei-embed-bulk"].serving(now_s) * assumed.tei_texts_s / assumed.chunks_per_document
        chunk.queue.put((now_s, documents))
        for cohort in chunk.work(now_s, inf, held_s):
            embed.queue.put(cohort)
        for cohort in embed.work(now_s, embedded_s, held_s):
            upsert.queue.put(cohort)
        for born_s, count in upsert.work(now_s, inf, held_s):
            self.outcomes.documents.append((now_s - born_s, count))
            self.outcomes.cleared_s = now_s

    def _query(self, now_s: int, questions: int, generative: float) -> None:
        retrieve, rerank, generate = (self.stages[name] for name in ("retrieve", "rerank", "generate"))
        assumed, held_s = self.assumed, self.assumed.commit_s + QUICK_S
        self._end(now_s)
        retrieve.queue.put((now_s, questions))
        for stage in (retrieve, rerank):
            self.outcomes.too_late += stage.queue.expire(now_s - int(assumed.deadline_s))
            self.outcomes.refused += stage.queue.refuse(int(stage.pods.serving(now_s) * assumed.waiting_questions))
        for cohort in retrieve.work(now_s, self.pods["tei-embed"].serving(now_s) * assumed.tei_texts_s, held_s):
            rerank.queue.put(cohort)
        ranked = rerank.work(now_s, self.pods["tei-rerank"].serving(now_s) * assumed.rerank_questions_s, held_s)
        self.reranked.append(sum(count for _, count in ranked))
        for cohort in ranked:
            generate.queue.put(cohort)
        # An answer behind a generated one of its partition is not committed before that one.
        for born_s, count in generate.work(now_s, inf, held_s + (assumed.answer_s if self.running else 0)):
            generated = sum(self.random.random() < generative for _ in range(count))
            self.outcomes.answers.append((now_s - born_s, count - generated))
            self._accept((born_s, generated), now_s)
        self._begin(now_s)
        generate.lag += self.waiting.size

    def _accept(self, cohort: Cohort, now_s: int) -> None:
        """Into the places of the workers; beyond them questions are refused at once."""
        born_s, count = cohort
        under_way = self.waiting.size + self._running
        places = int(self.pods["generate"].serving(now_s) * self.assumed.generations) - under_way
        taken = max(0, min(count, places))
        self.outcomes.refused += count - taken
        self.waiting.put((born_s, taken))

    def _begin(self, now_s: int) -> None:
        """What waits for vLLM, as far as it has room."""
        self.outcomes.too_late += self.waiting.expire(now_s - int(self.assumed.deadline_s))
        room = int(self.pods["vllm"].serving(now_s) * self.assumed.vllm_sequences) - self._running
        for born_s, count in self.waiting.take(room):
            self.running.append((now_s + int(self.assumed.answer_s), born_s, count))

    def _end(self, now_s: int) -> None:
        while self.running and self.running[0][0] <= now_s:
            _, born_s, count = self.running.popleft()
            self.outcomes.answers.append((now_s - born_s, count))

    @property
    def _running(self) -> int:
        return sum(count for _, _, count in self.running)

    def _measured(self, now_s: int) -> dict[str, float]:
        """What Prometheus has, by the query that asks for it."""
        values = {
            ("te_queue_size", "tei-embed"): self._queued(now_s, "retrieve", "tei-embed", 1),
            ("te_queue_size", "tei-rerank"): self._queued(now_s, "rerank", "tei-rerank", self.assumed.rerank_passages),
            ("te_request_count", "tei-rerank"): 2 * sum(self.reranked) / 120,
            ("num_requests_waiting", ""): float(self.waiting.size),
            ("num_requests_running", ""): float(self._running),
        }
        triggers = [trigger for scaled in self.scaled.values() for trigger in scaled.triggers]
        return {trigger.of: _only(values, trigger.of) for trigger in triggers if trigger.kind == "prometheus"}

    def _queued(self, now_s: int, stage: str, server: str, texts: float) -> float:
        """Texts that wait in TEI: what the workers send of what waits, less what is being computed."""
        assumed, replicas = self.assumed, self.pods[server].serving(now_s)
        sent = min(
            self.stages[stage].queue.size * texts,
            self.pods[stage].serving(now_s) * assumed.worker_texts,
            replicas * assumed.tei_permits,
        )
        return max(0.0, sent - replicas * assumed.tei_batch_texts)


def _only(values: Mapping[tuple[str, str], float], query: str) -> float:
    """The one value that a query asks for. Raises ValueError for one that nothing here measures."""
    found = [
        value
        for (metric, service), value in values.items()
        if metric in query and (not service or f'service="{service}"' in query)
    ]
    if len(found) != 1:
        raise ValueError(f"the simulation does not know what {query!r} gives: add it to infra/autoscaling/world.py")
    return found[0]
