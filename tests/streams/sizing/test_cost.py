"""What a sizing costs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from streams.sizing.cost import Bill, bill
from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.models import BROKER_NODE, CARDS, GENERAL_NODE, QUERY_NODES
from streams.sizing.pools import Hardware
from streams.sizing.prices import BETWEEN_ZONES, OBJECTS, Prices
from streams.sizing.size import size

LISTED = Path(__file__).parents[3] / "infra" / "terraform" / "prices.json"
MACHINES = {GENERAL_NODE, BROKER_NODE, *QUERY_NODES, *(name for card in CARDS.values() for name in card.machines)}
PRICES = Prices(
    known_at="2026-01-01",
    region="here",
    currency="EUR",
    hours_per_month=730,
    instance_hour=dict.fromkeys(MACHINES, 1.0),
    cluster_hour=0.1,
    disk_gib_month=0.1,
    object_gib_month=0.02,
    zone_gib=0.02,
)
USUAL = Load(chunks=10_000_000, documents_s=20, queries_s=20, generative=0.5, tenants=50)


def billed(load: Load = USUAL, prices: Prices = PRICES) -> Bill:
    return bill(size(load, Figures(), Hardware()), Figures(), prices)


def test_the_bill_is_the_sum_of_what_was_sized() -> None:
    sizing, lines = size(USUAL, Figures(), Hardware()), {line.item: line for line in billed().lines}
    assert lines["Milvus' query nodes"].month == sizing.index.nodes * 730
    assert lines["GPU pool rerank"].number == sizing.pools[1].machines
    assert lines["Kafka's disks"].number * 2**30 * 0.6 == pytest.approx(sizing.kafka.stored_bytes)
    assert billed().month == pytest.approx(sum(line.number * line.price for line in lines.values()))


def test_more_load_costs_more() -> None:
    for grown in ({"documents_s": 2_000.0}, {"queries_s": 1_000.0}, {"answer_tokens": 1_000}, {"replicas": 3}):
        assert billed(replace(USUAL, **grown)).month > billed().month


def test_a_pool_that_nothing_asks_for_costs_nothing() -> None:
    assert "GPU pool generate" not in {line.item for line in billed(replace(USUAL, generative=0.0)).lines}


@pytest.mark.parametrize(("zones", "sent"), [(3, 2 / 3 + 2 + 2 / 3), (2, 1 / 2 + 3 / 2 + 1 / 2), (1, 0)])
def test_what_is_written_copied_and_read_is_paid_for_where_it_goes_to_another_zone(zones: int, sent: float) -> None:
    figures, sizing = Figures().replaced({"zones": zones}), size(USUAL, Figures(), Hardware())
    [line] = [each for each in bill(sizing, figures, PRICES).lines if each.item == "Kafka between zones"]
    once_s = sum(topic.bytes_s for topic in sizing.kafka.topics)
    assert line.number == pytest.approx(once_s * sent * 730 * 3_600 / 2**30)


def test_a_machine_without_a_price_is_named() -> None:
    with pytest.raises(ValueError, match=r"no price for 'm7i\.2xlarge'"):
        billed(prices=replace(PRICES, instance_hour={}))


@pytest.mark.skipif(not LISTED.exists(), reason="an installed wheel has no infra")
def test_the_listed_prices_name_every_machine_that_a_sizing_may_choose() -> None:
    prices = Prices.read(LISTED)
    assert set(prices.instance_hour) >= MACHINES
    assert billed(prices=prices).month > 0


def test_a_file_of_ones_own_is_read_and_a_gap_in_it_is_named(tmp_path: Path) -> None:
    own = {
        "known_at": "2026-01-01",
        "region": "here",
        "currency": "EUR",
        "hours_per_month": 730,
        "instance_hour": dict.fromkeys(MACHINES, 1),
        "eks_cluster_hour": {"1.34": 0.1, "1.30": 0.6},
        "ebs_gp3_gib_month": 0.1,
        "by_use": {OBJECTS: 0.02, BETWEEN_ZONES: 0.02},
    }
    file = tmp_path / "prices.json"
    file.write_text(json.dumps(own))
    assert Prices.read(file) == PRICES
    file.write_text(json.dumps({name: value for name, value in own.items() if name != "instance_hour"}))
    with pytest.raises(ValueError, match="has no price 'instance_hour'"):
        Prices.read(file)


@pytest.mark.parametrize("text", ["no", "[]", '{"known_at": 1, "region": 1, "currency": 1, "hours_per_month": "x"}'])
def test_what_is_no_file_of_prices_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "prices.json"
    file.write_text(text)
    with pytest.raises(ValueError, match="is no file of prices"):
        Prices.read(file)
    with pytest.raises(ValueError, match="give a file such as"):
        Prices.read(tmp_path / "missing.json")
