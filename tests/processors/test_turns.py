"""Nobody starves, nobody idles, a key keeps its order, and one tenant's import delays another's document by a turn."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from processors.turns import BULK_COST, WHOSE, Slots, Turns, Whose


@dataclass(frozen=True)
class Item:
    number: int
    whose: Whose
    key: str
    size: int


def fill(turns: Turns[Item], items: Sequence[Item]) -> None:
    for item in items:
        turns.put(item, key=item.key, whose=item.whose, size=item.size)


def backlog(tenant: str, count: int, *, size: int = 100, bulk: bool = False, first: int = 0) -> list[Item]:
    whose = Whose(tenant, bulk)
    return [Item(number, whose, f"{tenant}/{number}", size) for number in range(first, first + count)]


def order(turns: Turns[Item], count: int | None = None) -> list[Item]:
    return [turns.pop() for _ in range(len(turns) if count is None else count)]


def test_a_newcomer_is_next_however_much_another_has_waiting() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, backlog("a", 10_000))
    order(turns, 100)
    fill(turns, backlog("b", 1))
    assert order(turns, 1)[0].whose.tenant == "b"


@pytest.mark.parametrize("tenants", [2, 5, 40])
def test_a_newcomer_waits_for_one_record_of_each_other_at_most(tenants: int) -> None:
    turns: Turns[Item] = Turns()
    for tenant in range(tenants):
        fill(turns, backlog(f"t{tenant}", 200, size=100 + tenant))
    order(turns, 17 * tenants + 3)
    fill(turns, backlog("new", 1, size=50_000))
    position = [item.whose.tenant for item in order(turns)].index("new")
    assert position <= tenants


def test_shares_are_of_bytes() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, [*backlog("large", 100, size=10_000), *backlog("small", 2_000, size=500)])
    served: Counter[str] = Counter()
    for item in order(turns, 1_000):
        served[item.whose.tenant] += item.size
    assert abs(served["large"] - served["small"]) <= 10_000


def test_an_import_gets_a_small_share_beside_others_and_all_of_it_alone() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, [*backlog("a", 1_000, bulk=True), *backlog("a", 1_000, first=1_000), *backlog("b", 1_000)])
    served = Counter(item.whose for item in order(turns, 2 * BULK_COST * 10 + 10))
    assert served[Whose("a", bulk=False)] == pytest.approx(BULK_COST * 10, abs=1)
    assert served[Whose("b", bulk=False)] == pytest.approx(BULK_COST * 10, abs=1)
    assert served[Whose("a", bulk=True)] == pytest.approx(10, abs=1)
    assert len(order(turns)) == 3_000 - 2 * BULK_COST * 10 - 10


def test_who_always_has_just_one_waiting_gets_no_more_than_its_share() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, [*backlog("a", 1_000), *backlog("b", 1_000)])
    fill(turns, backlog("c", 1))
    served: Counter[str] = Counter()
    for number in range(900):
        item = turns.pop()
        served[item.whose.tenant] += 1
        if item.whose.tenant == "c":
            fill(turns, backlog("c", 1, first=number + 1))
    assert served == {"a": 300, "b": 300, "c": 300}


def test_a_key_keeps_its_order_across_lanes() -> None:
    turns: Turns[Item] = Turns()
    import_, single = Whose("a", bulk=True), Whose("a", bulk=False)
    fill(turns, backlog("b", 50))
    versions = [Item(1, import_, "a/doc", 10), Item(2, single, "a/doc", 10), Item(3, import_, "a/doc", 10)]
    fill(turns, versions)
    assert [item for item in order(turns) if item.key == "a/doc"] == versions


def test_what_is_removed_never_comes_and_the_rest_keeps_its_order() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, [*backlog("a", 6), *backlog("b", 6)])
    removed = turns.take(lambda item: item.number % 2 == 1, served=False)
    assert [item.key for item in removed] == ["a/1", "a/3", "a/5", "b/1", "b/3", "b/5"]
    assert turns.size == 600
    assert [item.key for item in order(turns)] == ["a/0", "b/0", "a/2", "b/2", "a/4", "b/4"]


def test_the_excess_is_the_newest_record_of_whoever_has_most_waiting() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, [*backlog("a", 3), *backlog("b", 1)])
    assert [turns.excess().key for _ in range(2)] == ["a/2", "a/1"]
    assert [item.key for item in order(turns)] == ["a/0", "b/0"]


def test_tenants_that_come_and_go_leave_nothing_behind() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, backlog("busy", 20_000))
    for number in range(10_000):
        fill(turns, backlog(f"t{number}", 1))
        order(turns, 2)
    assert len(turns._flows) < 200
    order(turns)
    assert not turns._flows
    assert not turns._homes


SIZES = st.integers(1, 2_000)
FLOWS = st.builds(Whose, st.sampled_from("abc"), st.booleans())


class Model(RuleBasedStateMachine):
    """Against queues that are lists: nothing is lost or doubled, keys keep order, shares stay within a record."""

    @initialize()
    def start(self) -> None:
        self.turns: Turns[Item] = Turns()
        self.keys: dict[str, deque[Item]] = defaultdict(deque)
        self.number = 0
        self.normalised: dict[Whose, int] = {}
        """Bytes times cost that each flow was given since all of these flows have been waiting without a break."""
        self.homes: dict[int, Whose] = {}

    @rule(whose=FLOWS, key=st.integers(0, 6), size=SIZES)
    def put(self, whose: Whose, key: int, size: int) -> None:
        item = Item(self.number, whose, f"{whose.tenant}/{key}", size)
        self.number += 1
        ahead = self.keys[item.key]
        self.homes[item.number] = self.homes[ahead[0].number] if ahead else whose
        before = self.waiting()
        ahead.append(item)
        fill(self.turns, [item])
        if self.waiting() != before:
            self.normalised = dict.fromkeys(self.waiting(), 0)

    @precondition(lambda self: len(self.turns) > 0)
    @rule()
    def pop(self) -> None:
        expected = self.turns.first()
        item = self.turns.pop()
        assert item is expected
        assert self.keys[item.key].popleft() is item
        home = self.homes.pop(item.number)
        self.normalised[home] += item.size * (BULK_COST if home.bulk else 1)
        if home not in self.waiting():
            self.normalised = dict.fromkeys(self.waiting(), 0)

    @rule(tenant=st.sampled_from("abc"), largest=SIZES)
    def pop_where(self, tenant: str, largest: int) -> None:
        item = self.turns.pop_where(lambda whose: whose.tenant == tenant, lambda item: item.size <= largest)
        if item is None:
            firsts = {min(self.of(home), default=None) for home in self.waiting() if home.tenant == tenant}
            sizes = {item.number: item.size for queue in self.keys.values() for item in queue}
            assert not firsts or any(number is not None and sizes[number] > largest for number in firsts)
            return
        home = self.homes.pop(item.number)
        assert home.tenant == tenant
        assert item.size <= largest
        assert self.keys[item.key].popleft() is item
        self.normalised = dict.fromkeys(self.waiting(), 0)

    @rule(number=st.integers(0, 5))
    def remove(self, number: int) -> None:
        removed = self.turns.take(lambda item: item.number % 6 == number, served=False)
        assert [item.number for item in removed] == sorted(
            item.number for queue in self.keys.values() for item in queue if item.number % 6 == number
        )
        for key, queue in self.keys.items():
            self.keys[key] = deque(item for item in queue if item.number % 6 != number)
        self.normalised = dict.fromkeys(self.waiting(), 0)

    @invariant()
    def nothing_is_lost(self) -> None:
        if hasattr(self, "keys"):
            waiting = [item for queue in self.keys.values() for item in queue]
            assert len(self.turns) == len(waiting)
            assert self.turns.size == sum(item.size for item in waiting)

    @invariant()
    def nobody_falls_behind(self) -> None:
        """What two flows that both wait were given differs by no more than one of the largest records of each."""
        given = getattr(self, "normalised", {})
        bound = {whose: 2_000 * (BULK_COST if whose.bulk else 1) for whose in given}
        assert all(given[one] - given[two] <= bound[one] + bound[two] for one in given for two in given), given

    def of(self, home: Whose) -> list[int]:
        waiting = [item.number for queue in self.keys.values() for item in queue]
        return [number for number in waiting if self.homes[number] == home]

    def waiting(self) -> set[Whose]:
        return {self.homes[item.number] for queue in self.keys.values() for item in queue}


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=60)


@settings(max_examples=100)
@given(st.lists(st.tuples(FLOWS, SIZES), max_size=60), SIZES, st.integers(0, 60))
def test_nobody_starves(others: list[tuple[Whose, int]], size: int, served: int) -> None:
    """A record of a new tenant goes before every second record of any flow that was there first."""
    turns: Turns[Item] = Turns()
    fill(turns, [Item(number, whose, str(number), each) for number, (whose, each) in enumerate(others)])
    order(turns, min(served, len(turns)))
    fill(turns, [Item(-1, Whose("new", bulk=False), "new", size)])
    before: Counter[Whose] = Counter()
    for item in iter(turns.pop, None):
        if item.number == -1:
            break
        before[item.whose] += 1
    assert all(count <= 1 for count in before.values())
    assert not any(whose.bulk for whose in before)


async def test_slots_go_in_turns_and_a_withdrawn_wait_costs_nobody_one() -> None:
    slots, done = Slots(1), []

    async def work(tenant: str, number: int) -> None:
        WHOSE.set(Whose(tenant))
        async with slots.held(10):
            await asyncio.sleep(0)
            done.append(f"{tenant}{number}")

    tasks = [asyncio.create_task(work("a", number)) for number in range(5)]
    await asyncio.sleep(0)
    late = asyncio.create_task(work("b", 0))
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.gather(*tasks, late, return_exceptions=True)
    assert done == ["a0", "a1", "b0", "a3", "a4"]
    async with asyncio.timeout(1), slots.held(1):
        pass


async def test_a_slot_granted_to_a_task_that_is_cancelled_goes_to_the_next() -> None:
    slots = Slots(1)
    held = slots.held(1)
    await held.__aenter__()

    async def wait() -> None:
        async with slots.held(1):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    await held.__aexit__(None, None, None)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1), slots.held(1):
        pass


def test_what_goes_with_somebody_s_turn_counts_as_had() -> None:
    turns: Turns[Item] = Turns()
    fill(turns, [*backlog("a", 20), *backlog("b", 20)])
    taken = turns.take(lambda item: item.whose.tenant == "a" and item.number < 8, served=True)
    assert len(taken) == 8
    assert [item.whose.tenant for item in order(turns, 8)] == ["b"] * 8
