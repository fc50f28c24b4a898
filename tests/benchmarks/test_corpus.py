"""The corpus is the same everywhere, varied, and answers its own questions."""

from benchmarks.corpus import articles


def test_same_seed_gives_the_same_articles() -> None:
    assert list(articles(3, seed=7)) == list(articles(3, seed=7))


def test_other_seed_gives_other_articles() -> None:
    assert next(articles(1, seed=7)).text != next(articles(1, seed=8)).text


def test_no_two_paragraphs_are_equal() -> None:
    bodies = [part for article in articles(20, seed=1) for part in article.paragraphs if not part.startswith("#")]
    assert len(set(bodies)) == len(bodies)


def test_every_fact_stands_in_its_article_once() -> None:
    for article in articles(20, seed=1):
        for fact in article.facts:
            assert article.text.count(fact.sentence) == 1
            assert fact.answer in fact.sentence


def test_edit_changes_one_paragraph() -> None:
    article = next(articles(1, seed=1))
    edited = article.edited(3, "New.")
    assert [at for at, (a, b) in enumerate(zip(article.paragraphs, edited.paragraphs, strict=True)) if a != b] == [3]
