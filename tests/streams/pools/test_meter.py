"""What calls take is known within seconds, and forgotten within seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.pools.meter import MAX_SLOWNESS, Baseline, Meter


def test_an_instance_that_becomes_slow_is_known_within_seconds_and_so_is_its_recovery() -> None:
    meter = Meter()
    for tick in range(100):
        meter.answer(tick / 10, 50, 1.0)
    for tick in range(50):
        meter.answer(10 + tick / 10, 150, 3.0)
    assert meter.slowness(15) > 2.5
    assert meter.ewma_ms is not None
    assert meter.ewma_ms > 130
    for tick in range(100):
        meter.answer(15 + tick / 10, 50, 1.0)
    assert meter.slowness(25) < 1.1


def test_silence_makes_an_instance_ordinary_again() -> None:
    meter = Meter()
    for tick in range(50):
        meter.answer(tick / 10, 150, 3.0)
    assert meter.slowness(5 + 5) < 2
    assert meter.slowness(5 + 25) < 1.02


def test_one_call_however_long_is_forgiven_in_time() -> None:
    meter = Meter()
    meter.answer(0, 50, 1.0)
    meter.answer(60, 60_000, 1_200.0)
    assert meter.slowness(60) <= MAX_SLOWNESS
    assert meter.slowness(90) < 1.05


def test_a_p95_needs_enough_answers_and_looks_back_half_a_minute() -> None:
    meter = Meter()
    for number in range(19):
        meter.answer(number / 10, 10, 1.0)
    assert meter.p95_ms(2) is None
    meter.answer(2, 500, 50.0)
    assert meter.p95_ms(2) == 10  # 1 of 20 is beyond it
    meter.answer(2, 500, 50.0)
    assert meter.p95_ms(2) == 500
    assert meter.p95_relative(2) == 50
    assert meter.p95_ms(33) is None


def test_calls_are_counted_for_half_a_minute() -> None:
    meter = Meter()
    for tick in range(600):
        meter.begin(tick / 10)
    assert meter.calls(60) == pytest.approx(300, abs=10)
    assert meter.calls(100) == 0


def test_a_long_batch_is_compared_with_long_batches() -> None:
    baseline = Baseline()
    for _ in range(200):
        baseline.relative(100, 5)
        baseline.relative(50_000, 800)
    assert baseline.relative(50_000, 800) == pytest.approx(1)
    assert baseline.relative(110, 15) == pytest.approx(3)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=50))
def test_the_baseline_stays_within_what_was_seen(took: list[float]) -> None:
    baseline = Baseline()
    for ms in took:
        assert baseline.relative(10, ms) > 0
    expected = baseline.expected_ms(10)
    assert expected is not None
    assert min(took) * 0.999 <= expected <= max(took) * 1.001


def test_a_first_answer_of_a_server_that_still_loads_is_forgiven_in_time() -> None:
    meter = Meter()
    meter.answer(0, 60_000, 1_200)
    assert meter.slowness(0) == MAX_SLOWNESS
    assert meter.ewma_ms == 60_000
