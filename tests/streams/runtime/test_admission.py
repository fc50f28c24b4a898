"""Nobody starves, nobody idles, a key keeps its order, and one tenant's import delays another's document by a turn."""

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from streams.runtime.admission import BULK_COST, Admission
from streams.runtime.headers import Whose


@dataclass(frozen=True)
class Item:
    number: int
    whose: Whose
    key: str
    size: int


def fill(admission: Admission[Item], items: Sequence[Item]) -> None:
    for item in items:
        admission.put(item, key=item.key, whose=item.whose, size_bytes=item.size)


def backlog(tenant: str, count: int, *, size: int = 100, bulk: bool = False, first: int = 0) -> list[Item]:
    whose = Whose(tenant, bulk)
    return [Item(number, whose, f"{tenant}/{number}", size) for number in range(first, first + count)]


def order(admission: Admission[Item], count: int | None = None) -> list[Item]:
    return [admission.pop() for _ in range(len(admission) if count is None else count)]


def test_a_newcomer_is_next_however_much_another_has_waiting() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, backlog("a", 10_000))
    order(admission, 100)
    fill(admission, backlog("b", 1))
    assert order(admission, 1)[0].whose.tenant == "b"


@pytest.mark.parametrize("tenants", [2, 5, 40])
def test_a_newcomer_waits_for_one_record_of_each_other_at_most(tenants: int) -> None:
    admission: Admission[Item] = Admission()
    for tenant in range(tenants):
        fill(admission, backlog(f"t{tenant}", 200, size=100 + tenant))
    order(admission, 17 * tenants + 3)
    fill(admission, backlog("new", 1, size=50_000))
    position = [item.whose.tenant for item in order(admission)].index("new")
    assert position <= tenants


def test_shares_are_of_bytes() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, [*backlog("large", 100, size=10_000), *backlog("small", 2_000, size=500)])
    served: Counter[str] = Counter()
    for item in order(admission, 1_000):
        served[item.whose.tenant] += item.size
    assert abs(served["large"] - served["small"]) <= 10_000


def test_an_import_gets_a_small_share_beside_others_and_all_of_it_alone() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, [*backlog("a", 1_000, bulk=True), *backlog("a", 1_000, first=1_000), *backlog("b", 1_000)])
    served = Counter(item.whose for item in order(admission, 2 * BULK_COST * 10 + 10))
    assert served[Whose("a", bulk=False)] == pytest.approx(BULK_COST * 10, abs=1)
    assert served[Whose("b", bulk=False)] == pytest.approx(BULK_COST * 10, abs=1)
    assert served[Whose("a", bulk=True)] == pytest.approx(10, abs=1)
    assert len(order(admission)) == 3_000 - 2 * BULK_COST * 10 - 10


def test_who_always_has_just_one_waiting_gets_no_more_than_its_share() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, [*backlog("a", 1_000), *backlog("b", 1_000)])
    fill(admission, backlog("c", 1))
    served: Counter[str] = Counter()
    for number in range(900):
        item = admission.pop()
        served[item.whose.tenant] += 1
        if item.whose.tenant == "c":
            fill(admission, backlog("c", 1, first=number + 1))
    assert served == {"a": 300, "b": 300, "c": 300}


def test_a_key_keeps_its_order_across_lanes() -> None:
    admission: Admission[Item] = Admission()
    import_, single = Whose("a", bulk=True), Whose("a", bulk=False)
    fill(admission, backlog("b", 50))
    versions = [Item(1, import_, "a/doc", 10), Item(2, single, "a/doc", 10), Item(3, import_, "a/doc", 10)]
    fill(admission, versions)
    assert [item for item in order(admission) if item.key == "a/doc"] == versions


def test_what_is_removed_never_comes_and_the_rest_keeps_its_order() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, [*backlog("a", 6), *backlog("b", 6)])
    removed = admission.remove(lambda item: item.number % 2 == 1)
    assert [item.key for item in removed] == ["a/1", "a/3", "a/5", "b/1", "b/3", "b/5"]
    assert admission.size_bytes == 600
    assert [item.key for item in order(admission)] == ["a/0", "b/0", "a/2", "b/2", "a/4", "b/4"]


def test_the_excess_is_the_newest_record_of_whoever_has_most_waiting() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, [*backlog("a", 3), *backlog("b", 1)])
    assert [admission.excess().key for _ in range(2)] == ["a/2", "a/1"]
    assert [item.key for item in order(admission)] == ["a/0", "b/0"]


def test_tenants_that_come_and_go_leave_nothing_behind() -> None:
    admission: Admission[Item] = Admission()
    fill(admission, backlog("busy", 20_000))
    for number in range(10_000):
        fill(admission, backlog(f"t{number}", 1))
        order(admission, 2)
    assert len(admission._flows) < 200
    order(admission)
    assert not admission._flows
    assert not admission._homes


SIZES = st.integers(1, 2_000)
FLOWS = st.builds(Whose, st.sampled_from("abc"), st.booleans())


class Model(RuleBasedStateMachine):
    """Against queues that are lists: nothing is lost or doubled, keys keep order, shares stay within a record."""

    @initialize()
    def start(self) -> None:
        self.admission: Admission[Item] = Admission()
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
        fill(self.admission, [item])
        if self.waiting() != before:
            self.normalised = dict.fromkeys(self.waiting(), 0)

    @precondition(lambda self: len(self.admission) > 0)
    @rule()
    def pop(self) -> None:
        expected = self.admission.first()
        item = self.admission.pop()
        assert item is expected
        assert self.keys[item.key].popleft() is item
        home = self.homes.pop(item.number)
        self.normalised[home] += item.size * (BULK_COST if home.bulk else 1)
        if home not in self.waiting():
            self.normalised = dict.fromkeys(self.waiting(), 0)

    @rule(number=st.integers(0, 5))
    def remove(self, number: int) -> None:
        removed = self.admission.remove(lambda item: item.number % 6 == number)
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
            assert len(self.admission) == len(waiting)
            assert self.admission.size_bytes == sum(item.size for item in waiting)

    @invariant()
    def nobody_falls_behind(self) -> None:
        """What two flows that both wait were given differs by no more than one of the largest records of each."""
        given = getattr(self, "normalised", {})
        bound = {whose: 2_000 * (BULK_COST if whose.bulk else 1) for whose in given}
        assert all(given[one] - given[two] <= bound[one] + bound[two] for one in given for two in given), given

    def waiting(self) -> set[Whose]:
        return {self.homes[item.number] for queue in self.keys.values() for item in queue}


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=100, stateful_step_count=60, deadline=None)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(FLOWS, SIZES), max_size=60), SIZES, st.integers(0, 60))
def test_nobody_starves(others: list[tuple[Whose, int]], size: int, served: int) -> None:
    """A record of a new tenant goes before every second record of any flow that was there first."""
    admission: Admission[Item] = Admission()
    fill(admission, [Item(number, whose, str(number), each) for number, (whose, each) in enumerate(others)])
    order(admission, min(served, len(admission)))
    fill(admission, [Item(-1, Whose("new", bulk=False), "new", size)])
    before: Counter[Whose] = Counter()
    for item in iter(admission.pop, None):
        if item.number == -1:
            break
        before[item.whose] += 1
    assert all(count <= 1 for count in before.values())
    assert not any(whose.bulk for whose in before)
