"""Generate: evidence in, an answer out, as it is being written."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from uuid import uuid4

from processors.errors import Poison
from processors.grounding import Piece, confidence, quoted, supported, unsupported
from processors.ports import Generator
from schemas import AnswerCompleted, AnswerDelta, AnswerMode, AnswerRefused, PassagesRanked, Usage

MIN_EVIDENCE = 0.02
"""Probability that the best passage holds the answer. Low, because paraphrases score low: docs/retrieval.md."""


def new_attempt() -> str:
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Generate:
    """Answer a question from its evidence, or refuse before a model is asked when the evidence is too weak.

    Deltas come only for questions that stream; exactly one final event comes last.
    """

    generators: Mapping[AnswerMode, Generator]
    default_mode: AnswerMode
    min_evidence: float = MIN_EVIDENCE
    attempt: Callable[[], str] = new_attempt

    async def __call__(
        self, event: PassagesRanked, /
    ) -> AsyncGenerator[AnswerDelta | AnswerCompleted | AnswerRefused, None]:
        attempt = self.attempt()
        evidence = max((passage.scores.get("rerank", 0.0) for passage in event.passages), default=0.0)
        if refusal := self._refusal(event, attempt, evidence):
            yield refusal
            return
        generator = self._generator(event)
        text, index, pieces, usage = "", 0, [], Usage()
        async with aclosing(generator.generate(event.query.text, event.passages)) as fragments:
            async for fragment in fragments:
                if fragment.passage is not None:
                    quote = fragment.text.strip()
                    start = len(text) + fragment.text.index(quote)
                    pieces.append(Piece(start, quote, fragment.passage))
                if fragment.text and event.query.stream:
                    yield AnswerDelta(query_id=event.query.query_id, attempt=attempt, index=index, text=fragment.text)
                    index += 1
                text += fragment.text
                usage = fragment.usage or usage
        if not text.strip():
            raise Poison("no-answer", f"{generator.model!r} said nothing to this question: put it in other words")
        strange = () if pieces else unsupported(text, event.passages)
        citations = quoted(pieces, event.passages) if pieces else supported(text, event.passages)
        yield AnswerCompleted(
            query_id=event.query.query_id,
            attempt=attempt,
            text=text,
            citations=citations,
            confidence=confidence(text, citations, strange, evidence),
            mode=generator.mode,
            model=generator.model,
            unsupported=strange,
            usage=usage,
        )

    def _generator(self, event: PassagesRanked) -> Generator:
        mode = event.query.mode or self.default_mode
        if mode not in self.generators:
            raise Poison("mode-unavailable", f"no generator for {mode!r}: ask for one of {', '.join(self.generators)}")
        return self.generators[mode]

    def _refusal(self, event: PassagesRanked, attempt: str, evidence: float) -> AnswerRefused | None:
        if not event.passages:
            code, detail = "no-evidence", "the search found nothing: publish documents about this, or widen the filters"
        elif evidence < self.min_evidence:
            code = "weak-evidence"
            detail = f"the best passage holds the answer with probability {evidence:.3f}, below {self.min_evidence:g}"
        else:
            return None
        return AnswerRefused(
            query_id=event.query.query_id, attempt=attempt, code=code, detail=detail, considered=event.passages
        )
