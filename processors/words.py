"""Which words a question and a text share, and how much each of them matters."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

WORD = re.compile(r"\d[\d.,]*\d|\d|[^\W\d_](?:[\w'\u2019-]*\w)?")
_LITTLE_WORDS = (
    "a about after all also am an and any are as at be been before being but by can could did do does for from had has "
    "have he her here hers him his how i if in into is it its itself me more most my no nor not of off on only or "
    "other our out over own she should so some such than that the their them then there these they this those to too "
    "under until up very was we were what when where which while who whom whose why will with would you your"
)
STOPWORDS = frozenset(_LITTLE_WORDS.split())

_ENDINGS = ("ing", "ed", "es", "s", "ly")
_STEM_CHARS = 4


def normal(word: str) -> str:
    """The form in which two spellings of a name or number are equal: `1,302` and `1302`, `Curie's` and `curie`."""
    word = word.casefold()
    if word[0].isdigit():
        whole, _, rest = word.replace(",", "").rstrip(".").partition(".")
        return f"{whole}.{rest}" if rest.strip("0") else whole
    return word.removesuffix("'s").removesuffix("\u2019s")


def words(text: str) -> Iterator[str]:
    """The words and numbers of a text in their normal form."""
    return (normal(match.group()) for match in WORD.finditer(text))


def stems(text: str) -> set[str]:
    """The words of a text that carry meaning, without the commonest English endings."""
    found = {_stem(match) for match in WORD.findall(text)}
    found.discard("")
    return found


def weigh(question: str, texts: Sequence[Collection[str]]) -> Mapping[str, float]:
    """The stems of a question with their share of its weight, rare ones among the stems of `texts` the heaviest."""
    rarity = {
        stem: 0.5 + math.log(1 + len(texts) / (1 + sum(stem in text for text in texts))) for stem in stems(question)
    }
    total = sum(rarity.values())
    return {stem: weight / total for stem, weight in rarity.items()}


def coverage(weights: Mapping[str, float], text: Collection[str]) -> float:
    """The share of a question's weight that the stems of a text hold, 0 to 1."""
    return sum(weight for stem, weight in weights.items() if stem in text)


@lru_cache(maxsize=16_384)
def _stem(spelled: str) -> str:
    """Empty for a little word. Remembered, because a question reads some ten thousand words, most of them often."""
    word = normal(spelled)
    if word in STOPWORDS:
        return ""
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) >= _STEM_CHARS + len(ending):
            return word.removesuffix(ending)
    return word
