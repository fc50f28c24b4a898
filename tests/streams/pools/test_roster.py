"""Whatever happens to calls: counts stay true, and nobody gets a call who must not."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.errors import Poison, Transient
from streams.pools.member import FIRST_SHARE, MAX_REST_S, RETURN_S, Call, Member
from streams.pools.roster import Roster
from streams.settings import Instance
from tests.streams.pools.simulation import NoPort, VirtualClock

ENDS: list[BaseException | None] = [
    None,
    Transient("away"),
    Transient("busy", retry_after_s=3),
    Poison("odd", "odd"),
    asyncio.CancelledError(),
    GeneratorExit(),
    ValueError("a bug"),
]


def roster(clock: VirtualClock, *tiers: int) -> Roster[NoPort]:
    made: Roster[NoPort] = Roster("embedder", clock, random.Random(1))
    for number, tier in enumerate(tiers):
        made.add(Instance(url=f"x://{number}", tier=tier), NoPort()).usable = True
    return made


def end(call: Call[NoPort], error: BaseException | None) -> None:
    call.__exit__(type(error) if error else None, error, None)


def settle(members: Roster[NoPort], clock: VirtualClock, calls: int = 200) -> list[Member[NoPort]]:
    """Who gets calls that each end well before the next."""
    got = []
    for _ in range(calls):
        call = members.begin(1)
        clock.at += 0.01
        end(call, None)
        got.append(call.member)
    return got


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["begin", "elsewhere", "review", "drain", "ill"]),
            st.integers(0, 4),
            st.sampled_from(ENDS),
            st.floats(0, 20),
        ),
        max_size=80,
    )
)
def test_counts_stay_true_and_nobody_gets_a_call_who_must_not(
    history: list[tuple[str, int, BaseException | None, float]],
) -> None:
    clock = VirtualClock()
    members = roster(clock, 0, 0, 0, 1, 1)
    under_way: list[Call[NoPort]] = []
    for what, which, error, later_s in history:
        clock.at += later_s
        if what == "begin":
            try:
                call = members.begin(100)
            except Transient:
                continue
            assert not call.member.draining
            assert clock.at >= call.member.rests_until
            better = [each for each in members.members if each.instance.tier < call.member.instance.tier]
            assert not any(each.serves(clock.at) for each in better)
            under_way.append(call)
        elif what == "elsewhere" and under_way:
            call = under_way.pop(which % len(under_way))
            away = Transient("away")
            end(call, away)
            try:
                other = members.elsewhere(call, away)
            except Transient:
                continue
            assert other.member is not call.member
            assert not call.second
            under_way.append(other)
        elif what == "review":
            members.review()
        elif what == "drain":
            members.members[which].draining = error is None
        elif what == "ill":
            members.members[which].ill = "ill" if error else ""
        if under_way and which == 0:
            end(under_way.pop(0), error)
        assert sum(each.in_flight for each in members.members) == len(under_way)
        assert 0 <= sum(state.share for state in members.states()) <= 1.01
    for call in under_way:
        end(call, None)
    # Whatever was, is over once all work again.
    for each in members.members:
        each.ill, each.draining = "", False
    clock.at += MAX_REST_S + 200
    settle(members, clock, 20)
    clock.at += RETURN_S
    assert {each.instance.url for each in settle(members, clock)} == {"x://0", "x://1", "x://2"}


def test_among_equals_each_gets_its_part() -> None:
    clock = VirtualClock()
    members = roster(clock, 0, 0, 0)
    got = [each.instance.url for each in settle(members, clock, 600)]
    assert all(150 < got.count(each.instance.url) < 250 for each in members.members)


def test_the_one_with_fewer_calls_under_way_is_chosen() -> None:
    members = roster(VirtualClock(), 0, 0)
    calls = [members.begin(1) for _ in range(40)]
    assert [each.in_flight for each in members.members] == pytest.approx([20, 20], abs=4)
    for call in calls:
        end(call, None)


def test_a_call_that_fails_at_two_instances_says_what_the_second_said() -> None:
    members = roster(VirtualClock(), 0, 0, 0)
    first = members.begin(1)
    end(first, Transient("first"))
    second = members.elsewhere(first, Transient("first"))
    end(second, Transient("second"))
    with pytest.raises(Transient, match="second"):
        members.elsewhere(second, Transient("second"))


def test_a_retry_is_no_trial_while_somebody_is_healthy() -> None:
    clock = VirtualClock()
    members = roster(clock, 0, 0, 0)
    for _ in range(3):
        members.members[0].circuit.fail(clock.at, trial=False)
    clock.at += 2
    call = Call(members.members[1], 1, members._baseline, clock, second=False)
    end(call, Transient("away"))
    assert members.elsewhere(call, Transient("away")).member is members.members[2]


def test_whoever_returns_begins_with_a_small_share() -> None:
    clock = VirtualClock()
    members = roster(clock, 0, 0)
    back, other = members.members
    back.returns(clock.at)
    assert back.score(clock.at) == pytest.approx(other.score(clock.at) / FIRST_SHARE)
    assert back.score(clock.at + RETURN_S / 2) < back.score(clock.at) / 4
    assert back.score(clock.at + RETURN_S) == other.score(clock.at + RETURN_S)
