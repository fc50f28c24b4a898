"""What every Generator must do. A backend's tests inherit this and provide `generator`, open."""

from processors.ports import Generator
from tests.processors.models import evidence

ASKED = "When was the tower built?"


class GeneratorContract:
    """Behaviour that does not depend on the model."""

    async def test_an_answer_comes_in_pieces_and_its_usage_last(self, generator: Generator) -> None:
        fragments = [fragment async for fragment in generator.generate(ASKED, evidence())]
        assert "".join(fragment.text for fragment in fragments).strip()
        assert [fragment.usage is not None for fragment in fragments] == [False] * (len(fragments) - 1) + [True]

    async def test_a_piece_that_names_a_passage_is_quoted_from_it(self, generator: Generator) -> None:
        passages = evidence()
        async for fragment in generator.generate(ASKED, passages):
            assert fragment.passage is None or fragment.text.strip() in passages[fragment.passage].text

    async def test_the_same_question_gets_the_same_answer(self, generator: Generator) -> None:
        answers = [
            "".join([fragment.text async for fragment in generator.generate(ASKED, evidence())]) for _ in range(2)
        ]
        assert answers[0] == answers[1]

    async def test_closing_early_leaves_the_generator_usable(self, generator: Generator) -> None:
        fragments = generator.generate(ASKED, evidence())
        await anext(fragments)
        await fragments.aclose()
        assert [fragment async for fragment in generator.generate(ASKED, evidence())]

    async def test_it_names_its_model_and_mode_and_says_that_it_works(self, generator: Generator) -> None:
        assert generator.model
        assert generator.mode in ("extractive", "generative")
        assert await generator.check()
