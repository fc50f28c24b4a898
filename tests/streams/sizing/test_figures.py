"""The figures follow from what their sources say."""

import pytest

from processors.index_plan import SEGMENT_BYTES
from streams.sizing.figures import Figures
from streams.sizing.models import CARDS, EMBEDDERS

FIGURES = Figures()


def test_every_figure_has_a_source() -> None:
    for figure in FIGURES:
        assert len(figure.source) > 5, figure.name


def test_the_share_of_a_card_is_what_tei_reached_on_an_l4() -> None:
    texts, tokens, lists_s = 256, 115_000, 0.54
    flops_s = EMBEDDERS["bge-large-en-v1.5"].flops_per_token(tokens / texts) * tokens * lists_s
    assert flops_s / CARDS["L4"].flops == pytest.approx(FIGURES.compute_share, rel=0.02)


@pytest.mark.parametrize(
    ("figure", "searches_s", "cores"),
    [(FIGURES.segment_searches_s, 78.4, 16), (FIGURES.disk_segment_searches_s, 22.1, 4)],
)
def test_the_work_of_a_search_is_what_vectordbbench_measured(figure: float, searches_s: float, cores: int) -> None:
    segments = 5_000_000 * 1_536 * 4 / SEGMENT_BYTES
    assert searches_s * segments / cores == pytest.approx(figure, rel=0.01)


def test_rates_of_workers_follow_from_the_times_measured() -> None:
    assert pytest.approx(FIGURES.embed_worker_chunks_s, rel=0.01) == 1_000 / 0.222
    assert pytest.approx(FIGURES.query_worker_queries_s, rel=0.01) == 3 / 0.0163
    assert pytest.approx(FIGURES.chunk_worker_chunks_s, rel=0.01) == 1_000 / (3 * 0.5)
    assert FIGURES.utilisation / (1 - FIGURES.utilisation) == pytest.approx(2.3, rel=0.02)
