"""A circuit opens on failures, and closes on a trial that succeeds; trials become rarer, but not rare."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.pools.circuit import MAX_OPEN_S, Circuit


@pytest.fixture
def circuit() -> Circuit:
    return Circuit(random.Random(1))


def fail_trials(circuit: Circuit, now: float, count: int) -> list[float]:
    """The waits before each of these trials."""
    waits = []
    for _ in range(count):
        waits.append(circuit.wait_s(now))
        now += waits[-1]
        assert circuit.awaits_trial(now)
        circuit.begin_trial()
        circuit.fail(now, trial=True)
    return waits


def test_three_failures_in_a_row_open_it(circuit: Circuit) -> None:
    for _ in range(2):
        circuit.fail(0, trial=False)
    circuit.succeed(trial=False)
    for _ in range(2):
        circuit.fail(0, trial=False)
    assert circuit.state(0) == "closed"
    circuit.fail(0, trial=False)
    assert circuit.state(0) == "open"


def test_failing_most_calls_opens_it_although_some_succeed(circuit: Circuit) -> None:
    for _ in range(6):
        circuit.succeed(trial=False)
        circuit.fail(0, trial=False)
        circuit.fail(0, trial=False)
    assert circuit.state(0) == "closed"  # 18 outcomes tell too little
    for _ in range(2):
        circuit.succeed(trial=False)
        circuit.fail(0, trial=False)
    assert circuit.state(0) == "open"


def test_one_trial_at_a_time(circuit: Circuit) -> None:
    for _ in range(3):
        circuit.fail(0, trial=False)
    assert not circuit.awaits_trial(0)
    assert circuit.awaits_trial(2)
    circuit.begin_trial()
    assert circuit.state(2) == "half-open"
    assert not circuit.awaits_trial(2)
    circuit.abandon_trial()
    assert circuit.awaits_trial(2)


def test_a_trial_that_succeeds_closes_it_and_the_past_is_forgotten(circuit: Circuit) -> None:
    for _ in range(3):
        circuit.fail(0, trial=False)
    fail_trials(circuit, 0, 5)
    circuit.begin_trial()
    assert circuit.succeed(trial=True)
    assert circuit.state(100) == "closed"
    for _ in range(3):
        circuit.fail(100, trial=False)
    assert circuit.wait_s(100) <= 1.0


def test_trials_become_rarer_up_to_a_bound(circuit: Circuit) -> None:
    for _ in range(3):
        circuit.fail(0, trial=False)
    waits = fail_trials(circuit, 0, 10)
    assert waits[0] <= 1.0
    assert sorted(waits[:4]) == waits[:4]
    assert all(0.75 * MAX_OPEN_S <= wait <= MAX_OPEN_S for wait in waits[5:])


def test_what_was_under_way_when_it_opened_changes_nothing(circuit: Circuit) -> None:
    for _ in range(3):
        circuit.fail(0, trial=False)
    wait_s = circuit.wait_s(0)
    for _ in range(50):
        circuit.fail(0.1, trial=False)
    assert not circuit.succeed(trial=False)
    assert circuit.wait_s(0) == wait_s


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 30)), max_size=60))
def test_whatever_happened_an_instance_that_works_is_closed_after_one_trial(
    history: list[tuple[bool, float]],
) -> None:
    circuit, now = Circuit(random.Random(0)), 0.0
    for works, later_s in history:
        now += later_s
        trial = circuit.awaits_trial(now)
        if trial:
            circuit.begin_trial()
        if works:
            circuit.succeed(trial=trial)
        else:
            circuit.fail(now, trial=trial)
    assert circuit.wait_s(now) <= MAX_OPEN_S
    now += circuit.wait_s(now)
    if circuit.state(now) != "closed":
        circuit.begin_trial()
        circuit.succeed(trial=True)
    assert circuit.state(now) == "closed"
