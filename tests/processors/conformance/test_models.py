"""Each check of a model's port fails for the backend that breaks it, and says how."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from processors.backends.embedded.sentence_vectors import SentenceVectors
from processors.backends.embedded.sentences import SentenceExtractor, SentenceReranker
from processors.conformance import Check, Outcome, T, embedder, examine, generator, index, reranker, sentence, title
from processors.errors import Poison, Transient
from processors.ports import Embedder, Fragment, Role, Vectors
from schemas import AnswerMode, Passage
from tests.processors.models import minilm


async def failures(checks: Sequence[Check[T]], subject: T, only: str = "") -> dict[str, str]:
    """Reasons by the name of the failed check."""
    chosen = [check for check in checks if not only or title(check) == only]
    return {each.check: each.reason async for each in examine(chosen, subject) if each.verdict == "failed"}


class Honest:
    """The default model; its children break one promise each."""

    def __init__(self) -> None:
        self.inner: Embedder = minilm()
        self.model = self.inner.model
        self.dimensions = self.inner.dimensions
        self.last: Vectors = np.zeros((0, self.dimensions), dtype=np.float32)

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def check(self) -> str:
        return await self.inner.check()

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return await self.inner.embed(texts, role=role)


class Long(Honest):
    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return await super().embed(texts, role=role) * np.float32(1.1)


class Reversed(Honest):
    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return (await super().embed(texts, role=role))[::-1]


class Meaningless(Honest):
    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        vectors = await super().embed(texts, role=role)
        return -vectors if role == "query" else vectors


class Wide(Honest):
    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return await super().embed(texts, role=role) if texts else np.zeros((0, 1), dtype=np.float32)


class Lenient(Honest):
    """Embeds what it should refuse."""

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        mended = [text.encode(errors="replace").decode().strip() or "blank" for text in texts]
        return await super().embed(mended, role=role)


class Short(Honest):
    """Drops what does not fit one batch of a server."""

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        return await super().embed(texts[:32], role=role)


class Confused(Honest):
    """Gives a call the rows of whoever asked at the same time."""

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        own = await super().embed(texts, role=role)
        before, self.last = self.last, own
        return before if before.shape == own.shape and len(texts) == 1 else own


class Fragile(Honest):
    """One cancelled call ends all."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = False

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.cancelled:
            self.cancelled = False
            raise Transient("the connection was closed")
        return await super().embed(texts, role=role)


class Nameless(Honest):
    async def check(self) -> str:
        return "works"


@pytest.mark.parametrize(
    ("broken", "check", "said"),
    [
        (Long, "rows are finite and of unit length", "expected 1, got"),
        (Reversed, "rows come in the order of the texts", "row 0 of six"),
        (Meaningless, "a question is nearer to its answer than to another text", "expected the first to be higher"),
        (Wide, "no texts give no rows", "expected (0, 384), got (0, 1)"),
        (Lenient, "blank text is poison that says which", "expected Poison"),
        (Lenient, "text without a utf8 form is poison", "expected Poison"),
        (Short, "a long list is embedded whole and in order", "expected (80, 384), got (32, 384)"),
        (Confused, "many calls at once get each their own rows", "expected at most 0.02"),
        (Fragile, "a cancelled call leaves the others alone", "the connection was closed"),
        (Nameless, "the model has a fingerprint and says that it works", "got 'works'"),
    ],
)
async def test_an_embedder_that_breaks_a_promise_is_caught(broken: type[Honest], check: str, said: str) -> None:
    assert said in (await failures(embedder.CHECKS, broken(), check))[check]


class Judge(SentenceReranker):
    def __init__(self) -> None:
        super().__init__(SentenceVectors(minilm()))


class Backwards(Judge):
    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        return (await super().rerank(question, passages))[::-1]


class Logits(Judge):
    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        return [40 * score - 20 for score in await super().rerank(question, passages)]


class Ranks(Judge):
    """Scores that say nothing about another question's."""

    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        scores = await super().rerank(question, passages)
        return [score / max(scores) for score in scores]


class TopOnly(Judge):
    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        return (await super().rerank(question, passages))[:32]


class NeedsPassages(Judge):
    async def rerank(self, question: str, passages: Sequence[Passage]) -> Sequence[float]:
        if not passages:
            raise Poison("empty", "no passages")
        return await super().rerank(question, passages)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Backwards, "the passage with the answer scores highest"),
        (Backwards, "fifty passages keep their places"),
        (Logits, "scores are probabilities one per passage in order"),
        (Logits, "questions and passages in odd shapes are judged"),
        (Ranks, "scores tell a question with an answer from one without"),
        (TopOnly, "fifty passages keep their places"),
        (NeedsPassages, "no passages get no scores"),
    ],
)
async def test_a_reranker_that_breaks_a_promise_is_caught(broken: type[Judge], check: str) -> None:
    assert check in await failures(reranker.CHECKS, broken(), check)


class Writer(SentenceExtractor):
    """Writes what it finds; its children break one promise each."""

    def __init__(self) -> None:
        super().__init__(SentenceVectors(minilm()))
        self.asked = 0

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        self.asked += 1
        async for fragment in super().generate(question, passages):
            for changed in self.changed(fragment):
                yield changed

    def changed(self, fragment: Fragment) -> Sequence[Fragment]:
        return [fragment]


class Mute(Writer):
    def changed(self, fragment: Fragment) -> Sequence[Fragment]:
        return [replace(fragment, text="")]


class Uncounted(Writer):
    def changed(self, fragment: Fragment) -> Sequence[Fragment]:
        return [replace(fragment, usage=None)]


class Misquoting(Writer):
    def changed(self, fragment: Fragment) -> Sequence[Fragment]:
        return [replace(fragment, passage=2 if fragment.passage == 0 else fragment.passage)]


class Sampling(Writer):
    def changed(self, fragment: Fragment) -> Sequence[Fragment]:
        return [replace(fragment, text=f"{fragment.text}{self.asked}", passage=None)]


class OneAtATime(Writer):
    def __init__(self) -> None:
        super().__init__()
        self.busy = False

    async def generate(self, question: str, passages: Sequence[Passage]) -> AsyncGenerator[Fragment, None]:
        if self.busy:
            raise Transient("busy")
        self.busy = True
        await asyncio.sleep(0.01)
        async for fragment in super().generate(question, passages):
            yield fragment
        self.busy = False


class Anonymous(Writer):
    @property
    def mode(self) -> AnswerMode:
        return "telepathic"  # type: ignore[return-value]  # as a backend without types may


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Mute, "an answer comes in pieces and its usage last"),
        (Uncounted, "an answer comes in pieces and its usage last"),
        (Misquoting, "a piece that names a passage is quoted from it"),
        (Sampling, "the same question gets the same answer"),
        (OneAtATime, "two questions at once get each an answer"),
        (OneAtATime, "closing early leaves the generator usable"),
        (Anonymous, "it names its model and mode and says that it works"),
    ],
)
async def test_a_generator_that_breaks_a_promise_is_caught(broken: type[Writer], check: str) -> None:
    assert check in await failures(generator.CHECKS, broken(), check)


async def test_backends_that_break_nothing_pass() -> None:
    assert await failures(embedder.CHECKS, Honest()) == {}
    assert await failures(reranker.CHECKS, Judge()) == {}
    assert await failures(generator.CHECKS, Writer()) == {}


class Buggy(Honest):
    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        raise KeyError("embeddings")


class Away(Honest):
    asked = 0

    async def embed(self, texts: Sequence[str], *, role: Role) -> Vectors:
        self.asked += 1
        raise Transient("connection refused")


async def test_an_error_outside_the_vocabulary_is_a_finding_and_ends_nothing() -> None:
    found = await failures(embedder.CHECKS, Buggy())
    assert found["no texts give no rows"].startswith("KeyError came through")
    assert len(found) == len(embedder.CHECKS) - 1


async def test_a_server_that_is_away_is_not_asked_over_and_over() -> None:
    away = Away()
    outcomes: list[Outcome] = [each async for each in examine(embedder.CHECKS, away)]
    assert [each.verdict for each in outcomes] == ["passed", "failed", "failed"] + ["skipped"] * 7
    assert away.asked == 2


@pytest.mark.parametrize("suite", [embedder, reranker, generator, index])
def test_every_check_says_in_a_sentence_what_must_hold(suite: ModuleType) -> None:
    for check in suite.CHECKS:
        assert sentence(check).endswith(".")
        assert "\n" not in sentence(check)
