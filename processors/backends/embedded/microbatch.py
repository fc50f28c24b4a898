"""Many small requests to one in-process model, as few well-shaped batches."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from processors.ports import Role, Vectors
from processors.turns import WHOSE, Turns, Whose

Tokens = Sequence[int]
Model = Callable[[Sequence[Tokens]], Vectors]

BATCH_TOKENS = 256
"""Padding included. Measured with MiniLM int8 on two cores: 256 to 768 give the most texts per CPU-second, 2,048
cost a sixth more and twice the memory. The least of these, because a batch is what everybody else waits for."""
SHARED_TOKENS = 128
"""Beyond so many, company makes a batch no cheaper per text, only longer for whoever's turn it is."""


@dataclass(slots=True, eq=False)
class _Call:
    rows: list[Vectors | None]
    missing: int
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True, eq=False)
class _Text:
    tokens: Tokens
    whose: Whose
    call: _Call
    row: int


class MicroBatcher:
    """Runs a model in `lanes` threads, on batches cut from everything that waits at that moment.

    Nothing lingers: an idle lane takes what is there, and batches form while the lanes are busy. Queries go ahead of
    passages. A batch holds texts of similar length around the one whose turn it is, so that little is padded and
    nobody's many texts hold up another's few; who has few gets a small one. A failing batch fails only the calls
    that have texts in it.
    """

    def __init__(self, model: Model, *, lanes: int, batch_tokens: int = BATCH_TOKENS) -> None:
        self._model = model
        self._lanes = lanes
        self._batch_tokens = batch_tokens
        self._executor = ThreadPoolExecutor(lanes, thread_name_prefix="model")
        self._waiting: dict[Role, Turns[_Text]] = {"query": Turns(), "passage": Turns()}
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, texts: Sequence[Tokens], *, role: Role) -> Vectors:
        """One row per text, in order; whatever the model raises."""
        call = _Call([None] * len(texts), len(texts), asyncio.get_running_loop().create_future())
        whose = WHOSE.get()
        for row, tokens in enumerate(texts):
            self._waiting[role].put(_Text(tokens, whose, call, row), whose=whose, size=len(tokens))
        while len(self._running) < self._lanes and len(self._running) < sum(map(len, self._waiting.values())):
            lane = asyncio.create_task(self._lane())
            self._running.add(lane)
        try:
            await call.done
        except asyncio.CancelledError:
            self._waiting[role].take(lambda text: text.call is call, served=False)
            raise
        return np.stack([row for row in call.rows if row is not None])

    async def close(self) -> None:
        """Cancel what waits, let what runs finish, end the threads; harmless when repeated."""
        for text in (*self._waiting["query"], *self._waiting["passage"]):
            text.call.done.cancel()
        await asyncio.gather(*self._running)
        self._executor.shutdown(wait=False)

    async def _lane(self) -> None:
        while batch := self._next_batch():
            await self._run(batch)
        # Here and not in a callback: a text that came between the two would find all lanes taken and wait for ever.
        self._running.remove(asyncio.current_task())  # type: ignore[arg-type]

    async def _run(self, batch: Sequence[_Text]) -> None:
        tokens = [text.tokens for text in batch]
        run = asyncio.get_running_loop().run_in_executor(self._executor, self._model, tokens)
        await asyncio.wait([run])
        if error := run.exception():
            for text in batch:
                if not text.call.done.done():
                    text.call.done.set_exception(error)
        else:
            _deliver(batch, run.result())

    def _next_batch(self) -> list[_Text]:
        for texts in self._waiting.values():
            texts.take(lambda text: text.call.done.done(), served=False)
        waiting = self._waiting["query"] or self._waiting["passage"]
        if not waiting:
            return []
        # A lane leaves a short queue's other half to the next lane, which may be idle.
        share = -(-len(waiting) // self._lanes)
        first = waiting.first()
        own_tokens = sum(len(text.tokens) for text in waiting if text.whose == first.whose)
        budget = min(self._batch_tokens, max(SHARED_TOKENS, own_tokens))
        batch = _around(first, list(waiting), budget=budget, most=share)
        waiting.take(set(batch).__contains__, served=True)
        return batch


def _around(first: _Text, waiting: Sequence[_Text], *, budget: int, most: int) -> list[_Text]:
    """The texts nearest in length to `first`, itself among them, whose padded batch fits the budget."""
    by_length = sorted(waiting, key=lambda text: len(text.tokens))
    low = high = by_length.index(first)
    while high - low + 1 < most:
        longer = by_length[high + 1] if high + 1 < len(by_length) else None
        longest = len((longer or by_length[high]).tokens)
        if longer and longest * (high - low + 2) <= budget:
            high += 1
        elif low > 0 and len(by_length[high].tokens) * (high - low + 2) <= budget:
            low -= 1
        else:
            break
    return by_length[low : high + 1]


def _deliver(batch: Sequence[_Text], rows: Vectors) -> None:
    for text, row in zip(batch, rows, strict=True):
        text.call.rows[text.row] = row
        text.call.missing -= 1
        if not text.call.missing and not text.call.done.done():
            text.call.done.set_result(None)
