"""`headwater size` as a user calls it."""

import json

import pytest

from tests.streams.cli.conftest import Run

USUAL = ("size", "--chunks", "1000000", "--documents-per-s", "1", "--queries-per-s", "5")


def test_the_arithmetic_is_shown_for_every_part(run: Run) -> None:
    shown = run(*USUAL, "--generative", "0.5")
    assert shown.exit_code == 0
    for part in ("stage", "topic", "milvus", "embed:", "rerank:", "generate:"):
        assert f"\n{part}" in f"\n{shown.output}"
    assert "a question has its generated answer after" in shown.output


def test_a_program_gets_the_answer_its_warnings_and_the_source_of_every_figure(run: Run) -> None:
    answer = json.loads(run(*USUAL, "--json").output)
    assert answer["load"]["chunks"] == 1_000_000
    assert [stage["stage"] for stage in answer["stages"]] == [
        "chunk",
        "embed",
        "upsert",
        "retrieve",
        "rerank",
        "generate",
    ]
    assert answer["index"]["kind"] == "HNSW"
    assert answer["index"]["nodes"] == 2
    assert answer["warnings"] == []
    assert all(figure["value"] > 0 and figure["source"] for figure in answer["figures"].values())


def test_a_figure_of_ones_own_is_used_and_shown(run: Run) -> None:
    answer = json.loads(run(*USUAL, "--set", "chunk_worker_chunks_s=5", "--json").output)
    assert answer["figures"]["chunk_worker_chunks_s"]["value"] == 5
    assert answer["stages"][0]["replicas"] == 9  # 25 / (5 x 0.7) = 8, and one to spare


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--set", "no_such=1"), "no figure is called 'no_such'"),
        (("--set", "utilisation=much"), "is not a number"),
        (("--set", "utilisation"), "is not NAME=VALUE"),
        (("--set", "utilisation=-1"), "give more than 0"),
        (("--embed-card", "T4"), "no card is called 'T4'"),
        (("--dimensions", "100"), "name the nearest of all-MiniLM-L6-v2 (384)"),
        (
            ("--generate-model", "Llama-3.1-70B-Instruct", "--generate-card", "L4", "--set", "weight_bytes=4"),
            "choose a larger card",
        ),
    ],
)
def test_what_cannot_be_is_a_wrong_argument_with_the_remedy(run: Run, wrong: tuple[str, ...], said: str) -> None:
    refused = run(*USUAL, *wrong)
    assert refused.exit_code == 2
    assert said in refused.output
