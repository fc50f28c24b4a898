"""Lists of texts as TEI takes them: cut to its limits, sorted by length, and each text's trouble kept to itself."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from processors.backends.tei.server import CHARS_PER_TOKEN, Failed, TeiServer, TooLarge, TooLong
from processors.errors import Poison, Transient

MAX_LIST_BYTES = 1_000_000
"""TEI refuses bodies over 2,000,000 bytes by default, does not say so in /info, and JSON may double a text."""
TRIES_ALONE = 3
"""A text is to blame when it failed so often by itself, and another one did not in between. Once is not enough: what
other workers send at the same time shares the server's batch, and 543 of 750 good texts failed with bad neighbours."""
NEUTRAL = "Is the model there?"

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Reader(Protocol[R_co]):
    def __call__(self, answer: Any, texts: int, /) -> Sequence[R_co]:
        """One row per text, in order. Raises Failed where a row is no number, and Transient for another shape."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Generic[R]):
    """What is asked about each text, and how the answer is read."""

    path: str
    member: str
    """Of the body: the one that takes the texts."""
    read: Reader[R]
    fields: Mapping[str, object]
    """The rest of the body."""
    prompt_name: str = ""
    question: str = ""
    """That shares the model's longest input with each text."""
    ahead: bool = False
    """Of passages that wait for a permit."""

    def body(self, texts: Sequence[str], truncate: bool) -> dict[str, object]:
        about = {"prompt_name": self.prompt_name} if self.prompt_name else {}
        asked = {"query": self.question} if self.question else {}
        return {self.member: texts, "truncate": truncate, **self.fields, **about, **asked}


@dataclass(slots=True)
class Spent:
    """What was asked of a server since it was opened."""

    texts: int = 0
    truncated: int = 0

    def __str__(self) -> str:
        return f"{self.truncated} of {self.texts} texts cut"


class _Hopeless(Exception):
    """This text will never work."""

    def __init__(self, text: str, code: str, detail: str) -> None:
        super().__init__(detail)
        self.text, self.code, self.detail = text, code, detail


class TeiLists:
    """Any number of texts in, a row for each out, through one server."""

    def __init__(self, server: TeiServer) -> None:
        self.spent = Spent()
        self._server = server
        self._suspicious_bytes = MAX_LIST_BYTES
        """A text of so many bytes was too long once: from then on the tokens of such texts are counted first."""
        self._one_at_a_time = {True: asyncio.Lock(), False: asyncio.Lock()}
        """By whether a question asks: it does not wait for passages here, either."""

    async def rows(self, ask: Ask[R], texts: Sequence[str]) -> list[R]:
        """Raises Transient and Poison, which tells the place of the text that it is about."""
        await self._server.verify()
        lists = list(self._lists(texts))
        try:
            answers = await _together([self._list(ask, [texts[place] for place in places]) for places in lists])
        except _Hopeless as error:
            place = list(texts).index(error.text)
            raise Poison(error.code, f"text {place} of {len(texts)}: {error.detail}") from error
        except (TooLarge, TooLong) as error:
            told = f"{self._server.base} refuses a text that it was told to cut ({error}): see its version and flags"
            raise Transient(told) from error
        rows = {place: row for places, answer in zip(lists, answers, strict=True)
                for place, row in zip(places, answer, strict=True)}  # fmt: skip
        self.spent.texts += len(texts)
        return [rows[place] for place in range(len(texts))]

    def _lists(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Places of texts of similar length: the server pads each of its batches to the longest."""
        longest = min(self._server.info.max_texts, self._server.permits.longest)
        sizes = [len(text.encode()) for text in texts]
        places: list[int] = []
        held = 0
        for place in sorted(range(len(texts)), key=sizes.__getitem__):
            if places and (len(places) == longest or held + sizes[place] > MAX_LIST_BYTES):
                yield places
                places, held = [], 0
            places.append(place)
            held += sizes[place]
        yield places

    async def _list(self, ask: Ask[R], texts: Sequence[str]) -> Sequence[R]:
        longest = max(texts, key=len)
        if len(longest) > self._max_chars or len(longest.encode()) >= self._suspicious_bytes:
            return await self._apart(ask, texts)
        try:
            return await self._sent(ask, texts)
        except TooLong:
            return await self._apart(ask, texts)

    async def _apart(self, ask: Ask[R], texts: Sequence[str]) -> Sequence[R]:
        """Let the texts that are too long be cut, and only these."""
        try:
            long = await self._too_long(ask, texts)
        except (Failed, TooLarge, TooLong):  # each text shows by itself what is wrong with it
            return await _together([self._alone(ask, text) for text in texts])
        rows: dict[int, R] = {}
        for places, truncate in (([p for p in range(len(texts)) if p not in long], False), (sorted(long), True)):
            if not places:
                continue
            some = [texts[place] for place in places]
            try:
                answer = await self._sent(ask, some, truncate=truncate)
            except TooLong:  # our count was one token short: what stands between question and text differs by model
                answer = await _together([self._alone(ask, text) for text in some])
            rows |= zip(places, answer, strict=True)
        self._count([texts[place] for place in long])
        return [rows[place] for place in range(len(texts))]

    async def _alone(self, ask: Ask[R], text: str) -> R:
        try:
            [row] = await self._sent(ask, [text])
        except TooLong:
            [row] = await self._sent(ask, [text], truncate=True)
            self._count([text])
        return row

    async def _too_long(self, ask: Ask[R], texts: Sequence[str]) -> set[int]:
        shared = 0
        if ask.question:
            [asked] = await self._tokens(ask, [ask.question])
            shared = asked - 1
        counts = await self._tokens(ask, [text[: self._max_chars] for text in texts])
        longest = self._server.info.max_tokens - shared
        return {
            place
            for place, (text, count) in enumerate(zip(texts, counts, strict=True))
            if count > longest or len(text) > self._max_chars
        }

    async def _tokens(self, ask: Ask[R], texts: Sequence[str]) -> list[int]:
        """Of each text with its prompt and special tokens. Takes no permit, and a millisecond under full load."""
        prompt = {"prompt_name": ask.prompt_name} if ask.prompt_name else {}
        answer = await self._server.post("/tokenize", {"inputs": texts, **prompt})
        if not isinstance(answer, list) or [type(tokens) for tokens in answer] != [list] * len(texts):
            raise self._server.nonsense(f"/tokenize gave no list of tokens for each of {len(texts)} texts")
        return [len(tokens) for tokens in answer]

    async def _sent(self, ask: Ask[R], texts: Sequence[str], *, truncate: bool = False) -> Sequence[R]:
        try:
            return await self._asked(ask, texts, truncate)
        except TooLarge as error:
            if len(texts) == 1:
                raise _Hopeless(texts[0], "too-large", f"{error}: cut it, or raise --payload-limit") from error
            half = len(texts) // 2
            parts = texts[:half], texts[half:]
            return [row for part in parts for row in await self._sent(ask, part, truncate=truncate)]
        except Failed:
            await self._server.verify(now=True)
        async with self._one_at_a_time[ask.ahead]:  # two bad texts must not meet
            return await self._bisected(ask, texts, truncate)

    async def _bisected(self, ask: Ask[R], texts: Sequence[str], truncate: bool) -> list[R]:
        """The rows of a list that failed: maybe only for its neighbours, maybe for one of its texts."""
        if len(texts) == 1:
            return [await self._judged(ask, texts[0], truncate)]
        try:
            return list(await self._asked(ask, texts, truncate))
        except Failed:
            half = len(texts) // 2
            first = await self._bisected(ask, texts[:half], truncate)
            return first + await self._bisected(ask, texts[half:], truncate)

    async def _judged(self, ask: Ask[R], text: str, truncate: bool) -> R:
        said = ""
        for _ in range(TRIES_ALONE):
            try:
                [row] = await self._asked(ask, [text], truncate)
            except Failed as error:
                said = str(error)
            else:
                return row
            await self.probe(ask)
        raise _Hopeless(text, "model-failed", f"{self._server.base} fails for it alone ({said}): leave it out")

    async def probe(self, ask: Ask[R]) -> R:
        """The row of a text that nothing is wrong with. Raises Transient where the server fails for it too."""
        neutral = replace(ask, question=NEUTRAL if ask.question else "")
        try:
            [row] = await self._asked(neutral, [NEUTRAL], truncate=True)
        except Failed as error:
            raise Transient(f"{self._server.base} fails for every text ({error}): see its log") from error
        except (TooLarge, TooLong) as error:
            raise Transient(f"{self._server.base} refuses even {NEUTRAL!r} ({error}): see its flags") from error
        return row

    async def _asked(self, ask: Ask[R], texts: Sequence[str], truncate: bool) -> Sequence[R]:
        body = ask.body([text[: self._max_chars] for text in texts] if truncate else texts, truncate)
        async with self._server.permits.held(len(texts), ahead=ask.ahead):
            answer = await self._server.post(ask.path, body)
        self._server.permits.answered(len(texts))
        await self._server.verify()
        return ask.read(answer, len(texts))

    @property
    def _max_chars(self) -> int:
        """Of a text: what the server would look at, and what we can send."""
        return min(CHARS_PER_TOKEN * self._server.info.max_tokens, MAX_LIST_BYTES // 4)

    def _count(self, texts: Sequence[str]) -> None:
        self.spent.truncated += len(texts)
        self._suspicious_bytes = min([self._suspicious_bytes, *(len(text.encode()) for text in texts)])


async def _together(calls: Sequence[Coroutine[Any, Any, R]]) -> list[R]:
    """All results in order; the first failure ends the others."""
    if len(calls) == 1:
        return [await calls[0]]
    tasks = [asyncio.create_task(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
