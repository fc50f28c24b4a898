"""A seeded corpus of English-like articles: same seed, same bytes, on every machine."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES = _words("""
early late narrow common public northern southern regional modern annual broad steady minor ancient formal rural
coastal mutual recent quiet shallow heavy seasonal central local distant reliable former gradual industrial
agricultural independent experimental administrative considerable traditional
""")
NOUNS = _words("""
river harbour council market engine treaty archive valley bridge survey railway orchard museum festival province
charter canal workshop garden quarry assembly reservoir lighthouse university manuscript expedition settlement
parliament observatory cathedral merchant engineer surveyor astronomer governor population climate agriculture
reconstruction navigation limestone copper timber glass barley wool irrigation telegraph
""")
VERBS = _words("""
supplied replaced crossed described surveyed repaired governed financed followed divided influenced connected
measured recorded abandoned restored enlarged inherited documented transformed administered
""")
LINKS = _words("""
near beside within beyond before after during along across without
""")
ADVERBS = _words("""
slowly largely mostly rarely soon often partly nearly formally eventually subsequently
""")
OPENERS = ("In time", "By then", "For decades", "As a result", "According to records", "In most years", "Even so")
SYLLABLES = _words("""
ka vel or tis mar den lo ri bas nor eth quin sal dra ven tol hy per os mi gal ru an bel
""")
KINDS = ("Bridge", "Archive", "Canal", "Observatory", "Charter", "Railway", "Museum", "Quarry")


@dataclass(frozen=True, slots=True)
class Fact:
    """A sentence that stands in exactly one paragraph, and the question that it answers."""

    sentence: str
    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Article:
    """A document of headed sections; each holds one fact."""

    name: str
    title: str
    paragraphs: tuple[str, ...]
    """In order; one that starts with `#` is a heading."""
    facts: tuple[Fact, ...]

    @property
    def text(self) -> str:
        """The article as Markdown."""
        return "\n\n".join(self.paragraphs) + "\n"

    def edited(self, paragraph: int, sentence: str) -> "Article":
        """The article with `sentence` added to one of its paragraphs."""
        changed = list(self.paragraphs)
        changed[paragraph] = f"{changed[paragraph]} {sentence}"
        return Article(self.name, self.title, tuple(changed), self.facts)


def articles(count: int, *, seed: int, sections: int = 6, paragraphs: int = 5) -> Iterator[Article]:
    """`count` articles of `sections` times `paragraphs` paragraphs, each of them 300 to 1,100 characters long."""
    for number in range(count):
        yield _article(random.Random(f"{seed}/{number}"), f"article-{seed}-{number:05}", sections, paragraphs)


def _article(rng: random.Random, name: str, sections: int, paragraphs: int) -> Article:
    title = f"{_name(rng)} {rng.choice(KINDS)}"
    body = [f"# {title}"]
    facts = []
    for _ in range(sections):
        fact = _fact(rng)
        facts.append(fact)
        body.append(f"## The {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}")
        home = rng.randrange(paragraphs)
        body += [_paragraph(rng, [fact.sentence] if home == at else []) for at in range(paragraphs)]
    return Article(name, title, tuple(body), tuple(facts))


def _fact(rng: random.Random) -> Fact:
    what, who, year = f"{_name(rng)} {rng.choice(KINDS)}", _name(rng), rng.randrange(1500, 1990)
    return Fact(f"The {what} was founded in {year} by {who}.", f"Who founded the {what}?", who)


def _paragraph(rng: random.Random, sentences: Sequence[str]) -> str:
    words = [_sentence(rng) for _ in range(rng.randrange(3, 10))]
    words[1:1] = sentences
    return " ".join(words)


def _sentence(rng: random.Random) -> str:
    text = f"{_subject(rng)} {rng.choice(ADVERBS)} {rng.choice(VERBS)} {_subject(rng)}"
    if rng.random() < 0.6:
        text += f" {rng.choice(LINKS)} {_subject(rng)}"
    if rng.random() < 0.4:
        text += f", and {rng.choice(VERBS)} {rng.randrange(3, 900)} of its {rng.choice(NOUNS)}s"
    if rng.random() < 0.3:
        text = f"{rng.choice(OPENERS)}, {text}"
    return text[0].upper() + text[1:] + "."


def _subject(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return _name(rng)
    return f"the {rng.choice(ADJECTIVES)} {rng.choice(NOUNS)}"


def _name(rng: random.Random) -> str:
    return "".join(rng.choices(SYLLABLES, k=rng.randrange(2, 5))).capitalize()
