"""Whole pools in virtual time: where the load goes when an instance is slow, dead, or new."""

import pytest

from streams.settings import Instance
from tests.streams.pools.simulation import Server, Simulation

PARALLEL, SERIAL = 10_000, 1


@pytest.mark.parametrize(
    ("lanes", "rate", "seed"), [(PARALLEL, 20, 1), (PARALLEL, 80, 2), (4, 40, 3), (SERIAL, 8, 4), (SERIAL, 20, 5)]
)
def test_an_instance_three_times_slower_loses_half_its_share_within_30_s_and_gets_it_back(
    lanes: int, rate: float, seed: int
) -> None:
    servers = [Server(lanes=lanes) for _ in range(3)]
    simulation = Simulation(*servers, seed=seed)
    before = simulation.share(60, rate=rate, of=0)
    assert before == pytest.approx(1 / 3, abs=0.07)
    servers[0].service_s *= 3
    assert simulation.share(30, rate=rate, of=0) <= before / 2
    assert simulation.share(30, rate=rate, of=0) <= before / 2
    servers[0].service_s /= 3
    simulation.run(30, rate=rate)
    assert simulation.share(60, rate=rate, of=0) == pytest.approx(before, abs=0.1)
    assert simulation.failed == simulation.retried == 0


def test_a_slow_day_excludes_nobody() -> None:
    servers = [Server() for _ in range(3)]
    simulation = Simulation(*servers)
    simulation.run(30, rate=50)
    for server in servers:
        server.service_s *= 10
    sent = simulation.run(60, rate=50)
    assert {state.state for state in simulation.roster.states()} == {"closed"}
    assert min(sent.values()) > 0.7 * max(sent.values())


def test_a_dead_instance_of_three_fails_no_call_and_costs_at_most_one_retry_each() -> None:
    servers = [Server() for _ in range(3)]
    simulation = Simulation(*servers)
    simulation.run(20, rate=100)
    servers[0].dead = True
    sent = simulation.run(60, rate=100)
    assert simulation.failed == 0
    # `sent` counts retries too: every call to the dead one was retried once, elsewhere.
    assert simulation.retried == sent["x://0"]
    assert simulation.retried <= 20  # three calls in a row, those under way beside them, and a trial now and then
    assert simulation.roster.states()[0].state in ("open", "half-open")
    servers[0].dead = False
    simulation.run(30, rate=100)
    assert simulation.share(60, rate=100, of=0) == pytest.approx(1 / 3, abs=0.05)


def test_an_instance_far_out_of_proportion_is_excluded_and_returns() -> None:
    servers = [Server() for _ in range(3)]
    simulation = Simulation(*servers)
    simulation.run(30, rate=100)
    servers[0].service_s *= 12
    seen = set()
    for _ in range(40):
        simulation.run(1, rate=150)
        seen.add(simulation.roster.states()[0].state)
    assert "excluded" in seen
    servers[0].service_s /= 12
    simulation.run(60, rate=40)
    assert simulation.share(60, rate=40, of=0) == pytest.approx(1 / 3, abs=0.07)


def test_a_higher_tier_gets_calls_only_while_the_lower_one_cannot_take_them() -> None:
    servers = [Server(), Server(), Server()]
    instances = [Instance(url="x://0"), Instance(url="x://1"), Instance(url="x://2", tier=1)]
    simulation = Simulation(*servers, instances=instances)
    assert simulation.run(20, rate=50)["x://2"] == 0
    servers[0].dead = servers[1].dead = True
    sent = simulation.run(30, rate=50)
    assert sent["x://2"] > 1_300
    assert simulation.failed <= 3  # a call whose retry met the other dead one, before its circuit opened
    servers[0].dead = servers[1].dead = False
    simulation.run(20, rate=50)
    assert simulation.run(20, rate=50)["x://2"] == 0


def test_a_larger_weight_takes_more_under_load() -> None:
    instances = [Instance(url="x://0", weight=3), Instance(url="x://1")]
    simulation = Simulation(Server(lanes=6), Server(lanes=2), instances=instances)
    share = simulation.share(120, rate=90, of=0)
    assert 0.65 < share < 0.95
