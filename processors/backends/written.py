"""What of a model's words reaches the reader: no reasoning, and nothing that it said before."""

from processors.errors import Poison
from processors.sentences import sentences

OPENING, CLOSING = "<think>", "</think>"
"""How DeepSeek, Qwen and others mark their reasoning where the server does not take it out."""
_STRAY = f"\n{CLOSING}"
REPEATED_WORDS = 4
"""A shorter sentence may come again: `Yes.`, a list's `None`."""


class Reasoning:
    """Takes out what stands between the tags at the beginning of an answer, however the pieces cut them."""

    def __init__(self) -> None:
        self._held = ""
        self._inside = False
        self._answering = False
        self.seen = False

    def feed(self, piece: str) -> str:
        """What of the text so far belongs to the answer and was not handed out yet."""
        if self._answering:
            return piece
        self._held += piece
        while True:
            if self._inside:
                before, tag, after = self._held.partition(CLOSING)
                self._held = after if tag else before[1 - len(CLOSING) :]
                if not tag:
                    return ""
                self._inside = False
            self._held = self._held.lstrip()
            if not self._held.startswith(OPENING):
                break
            self._held, self._inside, self.seen = self._held.removeprefix(OPENING), True, True
        return "" if OPENING.startswith(self._held) else self.end()

    def end(self) -> str:
        """What was held because it might have become a tag."""
        text, self._held = ("" if self._inside else self._held), ""
        self._answering = bool(text) or self._answering
        return text


class Repetition:
    """Lets text pass until a sentence comes again: small models say the same to the end of their allowance.

    A sentence that begins like an earlier one is held until it goes on differently.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._open = ""
        """The sentence under way, with the white space before it."""
        self._passed = 0
        """Characters of it that were handed out."""
        self.found = False

    def feed(self, piece: str) -> str:
        """What may be shown; nothing more once a repetition is `found`."""
        self._open += piece
        passed, begins = "", 0
        for sentence in sentences(self._open)[:-1]:
            said = _plain(sentence.text)
            if said in self._said:
                self.found = True
                return passed
            passed, begins = passed + self._pass(sentence.end), sentence.end
            if len(said.split()) >= REPEATED_WORDS:
                self._said.add(said)
        self._open, self._passed = self._open[begins:], max(self._passed, begins) - begins
        begun = _plain(self._open)
        again = any(said.startswith(begun) for said in self._said)
        return passed if again else passed + self._pass(len(self._open.rstrip()))

    def end(self) -> str:
        """What was held and turned out to be no repetition."""
        self.found = self.found or _plain(self._open) in self._said
        return "" if self.found else self._pass(len(self._open.rstrip()))

    def _pass(self, end: int) -> str:
        text, self._passed = self._open[self._passed : end], max(self._passed, end)
        return text


class Written:
    """The answer in a model's stream of text: `feed` each piece, and stop the model when it is `complete`.

    Poison: `no-answer` where the model only reasoned. A backend calls `end` when the stream ends by itself.
    """

    def __init__(self) -> None:
        self._reasoning, self._repetition = Reasoning(), Repetition()
        self._shown = False
        self._tail = ""
        self.unmarked = False
        """Whether what was shown was reasoning: its end came without a beginning, which the chat template had given."""

    @property
    def complete(self) -> bool:
        return self._repetition.found

    def feed(self, piece: str) -> str:
        text = self._reasoning.feed(piece)
        self._tail = (self._tail + text)[-len(piece) - len(_STRAY) :]
        self.unmarked = self.unmarked or _STRAY in self._tail
        return self._show(self._repetition.feed(text))

    def end(self, *, reasoned: bool = False) -> str:
        """The rest; `reasoned`: whether the server itself kept reasoning apart."""
        text = self._show(self._repetition.feed(self._reasoning.end()) + self._repetition.end())
        if not self._shown and (reasoned or self._reasoning.seen):
            raise Poison("no-answer", "the model spent all its tokens on reasoning: raise max_tokens= in generator")
        return text

    def _show(self, text: str) -> str:
        self._shown = self._shown or bool(text)
        return text


def _plain(text: str) -> str:
    return " ".join(text.lower().split())
