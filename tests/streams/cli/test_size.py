"""`headwater size` as a user calls it."""

import json
from pathlib import Path

import pytest

from tests.streams.cli.conftest import Run

OWN_PRICES = {
    "known_at": "2026-01-01",
    "region": "here",
    "currency": "EUR",
    "hours_per_month": 730,
    "instance_hour": dict.fromkeys(("m7i.2xlarge", "m7i.xlarge", "r7i.2xlarge", "g6.xlarge"), 1),
    "eks_cluster_hour": {"1.34": 0.1},
    "ebs_gp3_gib_month": 0.1,
    "by_use": {"a GiB of objects in S3, a month": 0.02, "a GiB between zones, both ends": 0.02},
}
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
    assert answer["cost"] is None
    assert all(figure["value"] > 0 and figure["source"] for figure in answer["figures"].values())


def test_a_figure_of_ones_own_is_used_and_shown(run: Run) -> None:
    answer = json.loads(run(*USUAL, "--set", "chunk_worker_chunks_s=5", "--json").output)
    assert answer["figures"]["chunk_worker_chunks_s"]["value"] == 5
    assert answer["stages"][0]["replicas"] == 9  # 25 / (5 x 0.7) = 8, and one to spare


def test_a_figure_is_taken_as_the_page_writes_it(run: Run) -> None:
    answer = json.loads(run(*USUAL, "--set", "broker_disk_bytes=2e+12", "--json").output)
    assert answer["figures"]["broker_disk_bytes"]["value"] == 2e12


def test_without_prices_the_command_says_so_and_with_them_it_adds_up(run: Run, tmp_path: Path) -> None:
    assert "cost: not computed, give --prices FILE" in run(*USUAL).output
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(OWN_PRICES))
    cost = json.loads(run(*USUAL, "--prices", str(file), "--json").output)["cost"]
    assert cost["currency"] == "EUR"
    assert cost["month"] == pytest.approx(sum(line["number"] * line["price"] for line in cost["lines"]))
    assert f"in all       {cost['month']:,.0f} EUR a month" in run(*USUAL, "--prices", str(file)).output
    refused = run(*USUAL, "--prices", str(tmp_path / "missing.json"))
    assert refused.exit_code == 2
    assert "missing.json" in refused.output


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (("--set", "no_such=1"), "no figure is called 'no_such'"),
        (("--set", "utilisation=much"), "is not NAME=NUMBER"),
        (("--set", "utilisation"), "is not NAME=NUMBER"),
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
