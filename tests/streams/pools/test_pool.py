"""A pool opens, follows its names, lets go of what is gone, and mixes no models."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from processors.errors import Poison, Transient
from streams.pools.health import PROBE_EVERY_S
from streams.pools.pool import RESOLVE_EVERY_S
from streams.settings import Instance
from tests.streams.pools.instances import Scene

ONE, TWO, THREE = "x://one", "x://two", "x://three"
NAME = "x://service:80?resolve=all&a=b"
FIRST, SECOND = "x://10.0.0.1:80?a=b", "x://10.0.0.2:80?a=b"


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, ONE, TWO, THREE)


async def test_it_opens_while_an_instance_is_away_which_joins_when_it_is_back(scene: Scene) -> None:
    scene.by_url[TWO].closed_door = Transient("refused")
    async with scene:
        assert scene.states() == {ONE: "closed", TWO: "open", THREE: "closed"}
        await scene.embed(20)
        assert scene.by_url[TWO].calls == 0
        scene.by_url[TWO].closed_door = None
        await scene.clock.pass_time(RESOLVE_EVERY_S)
        assert scene.states()[TWO] == "closed"
        await scene.embed(20)
        assert scene.by_url[TWO].calls > 0


async def test_it_does_not_open_where_no_instance_does_and_says_why(scene: Scene) -> None:
    for instance in scene.by_url.values():
        instance.closed_door = Transient("refused")
    with pytest.raises(Transient, match=r"no instance of the embedder pool opens .*x://one: refused; x://two: refused"):
        await scene.pool.open()
    scene.by_url[ONE].closed_door = None
    async with scene:  # the worker tries again
        await scene.embed()


async def test_a_member_with_another_model_is_refused_by_both_names(scene: Scene) -> None:
    scene.by_url[THREE].model = "m2"
    with pytest.raises(Poison) as refused:
        await scene.pool.open()
    assert refused.value.code == "pool-mismatch"
    for said in (ONE, THREE, "m1", "m2", "2 dimensions"):
        assert said in refused.value.detail
    await scene.pool.close()


async def test_other_dimensions_are_refused_too(scene: Scene) -> None:
    scene.by_url[ONE].dimensions = 3
    with pytest.raises(Poison, match="3 dimensions"):
        await scene.pool.open()
    await scene.pool.close()


async def test_a_member_that_joins_with_another_model_stays_outside_until_it_is_put_right(scene: Scene) -> None:
    late = scene.by_url[TWO]
    late.closed_door = Transient("refused")
    async with scene:
        late.closed_door, late.model = None, "m2"
        await scene.clock.pass_time(RESOLVE_EVERY_S)
        [state] = [each for each in scene.pool.roster.states() if each.url == TWO]
        assert state.state == "open"
        assert "m2" in state.why
        late.model = "m1"
        await scene.clock.pass_time(RESOLVE_EVERY_S)
        assert scene.states()[TWO] == "closed"


def test_a_url_that_cannot_work_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(Poison, match="cannot work"):
        Scene(tmp_path, ONE, "x://bad")


async def test_a_name_becomes_its_instances_and_follows_changes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, Instance(url=NAME, weight=2, tier=1))
    scene.names.addresses = frozenset({"10.0.0.1"})
    async with scene:
        assert scene.states() == {FIRST: "closed"}
        assert (scene.pool.roster.members[0].instance.weight, scene.pool.roster.members[0].instance.tier) == (2, 1)
        scene.names.addresses = frozenset({"10.0.0.1", "10.0.0.2"})
        await scene.clock.pass_time(RESOLVE_EVERY_S)
        assert scene.states() == {FIRST: "closed", SECOND: "closed"}
        scene.names.addresses = frozenset({"10.0.0.2"})
        await scene.clock.pass_time(2 * RESOLVE_EVERY_S + 1)
        assert scene.states() == {SECOND: "closed"}
        assert not scene.by_url[FIRST].is_open
        await scene.embed(5)


async def test_a_name_server_that_is_away_takes_no_instance_away(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NAME)
    scene.names.addresses = frozenset({"10.0.0.1"})
    async with scene:
        scene.names.away = True
        await scene.clock.pass_time(60)
        assert scene.states() == {FIRST: "closed"}
        await scene.embed()


async def test_one_lookup_that_misses_an_address_drains_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NAME)
    both = frozenset({"10.0.0.1", "10.0.0.2"})
    scene.names.addresses = both
    async with scene:
        for _ in range(5):
            scene.names.addresses = frozenset({"10.0.0.1"})
            await scene.clock.pass_time(RESOLVE_EVERY_S)
            scene.names.addresses = both
            await scene.clock.pass_time(RESOLVE_EVERY_S)
        assert set(scene.states().values()) == {"closed"}


async def test_what_drains_finishes_its_calls_and_gets_no_new_ones(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NAME)
    scene.names.addresses = frozenset({"10.0.0.1"})
    async with scene:
        leaving = scene.by_url[FIRST]
        leaving.hold = asyncio.Event()
        under_way = asyncio.create_task(scene.embed())
        await asyncio.sleep(0)
        scene.names.addresses = frozenset({"10.0.0.2"})
        await scene.clock.pass_time(2 * RESOLVE_EVERY_S + 1)
        assert scene.states() == {FIRST: "draining", SECOND: "closed"}
        await scene.embed(10)
        assert leaving.calls == 1
        assert leaving.is_open
        leaving.hold.set()
        await under_way
        await scene.clock.pass_time(1)
        assert scene.states() == {SECOND: "closed"}
        assert not leaving.is_open


async def test_a_call_is_tried_at_one_other_instance_and_no_more(scene: Scene) -> None:
    async with scene:
        for instance in scene.by_url.values():
            instance.trouble = Transient(f"{instance.url} is away")
        with pytest.raises(Transient, match="is away"):
            await scene.embed()
        assert sum(instance.calls for instance in scene.by_url.values()) == 2


async def test_poison_is_the_inputs_fault_and_is_tried_nowhere_else(scene: Scene) -> None:
    async with scene:
        for instance in scene.by_url.values():
            instance.trouble = Poison("bad-text", "odd")
        for _ in range(20):
            with pytest.raises(Poison):
                await scene.embed()
        assert sum(instance.calls for instance in scene.by_url.values()) == 20
        assert set(scene.states().values()) == {"closed"}


async def test_where_nobody_can_answer_each_instance_is_named(scene: Scene) -> None:
    async with scene:
        for instance in scene.by_url.values():
            instance.trouble = Transient("is away")
        for _ in range(6):
            with pytest.raises(Transient):
                await scene.embed()
        with pytest.raises(Transient, match=r"no instance .*one: open, is away; .*two: .*three: ") as nobody:
            await scene.embed()
        assert nobody.value.retry_after_s is None  # away, not busy
        for instance in scene.by_url.values():
            instance.trouble = None
        await scene.clock.pass_time(2)
        await scene.embed(10)
        assert set(scene.states().values()) == {"closed"}


async def test_a_busy_instance_rests_for_as_long_as_it_asked(scene: Scene) -> None:
    async with scene:
        busy = scene.by_url[ONE]
        busy.trouble = Transient("busy", retry_after_s=8)
        await scene.embed(20)
        assert busy.calls == 1
        assert scene.states()[ONE] == "excluded"
        busy.trouble = None
        await scene.clock.pass_time(8)
        await scene.embed(30)
        assert busy.calls > 1


async def test_where_all_are_busy_the_soonest_says_when_to_come_back(scene: Scene) -> None:
    async with scene:
        for number, instance in enumerate(scene.by_url.values()):
            instance.trouble = Transient("busy", retry_after_s=10 + number)
        waits = []
        for _ in range(3):
            with pytest.raises(Transient) as busy:
                await scene.embed()
            waits.append(busy.value.retry_after_s)
        assert waits == [None, 10, 10]  # after the first call one instance had not been asked yet


async def test_a_stream_is_tried_elsewhere_before_its_first_piece_and_never_after(scene: Scene) -> None:
    async with scene:
        for instance in scene.by_url.values():
            instance.break_after = 0
        scene.by_url[ONE].break_after = 2
        seen = set()
        for _ in range(12):
            written = 0
            try:
                async with aclosing(scene.generator.generate("?", ())) as fragments:
                    async for _ in fragments:
                        written += 1
            except Transient as error:
                seen.add((written, str(error).partition(" ")[0]))
            await scene.clock.pass_time(1)
        assert (2, ONE) in seen  # it had begun there, and broke off there
        assert all(written == 0 for written, url in seen if url != ONE)


async def test_leaving_a_stream_stops_it_where_it_runs(scene: Scene) -> None:
    async with scene:
        async with aclosing(scene.generator.generate("?", ())) as fragments:
            await anext(fragments)
            assert sum(instance.streams for instance in scene.by_url.values()) == 1
        assert sum(instance.streams for instance in scene.by_url.values()) == 0
        assert all(state.in_flight == 0 for state in scene.pool.roster.states())


async def test_a_call_that_is_given_up_leaves_nothing_under_way_and_its_wait_is_held_against_the_instance(
    scene: Scene,
) -> None:
    async with scene:
        await scene.embed(30)
        hanging = scene.by_url[ONE]
        hanging.hold = asyncio.Event()
        waiting = [asyncio.create_task(scene.embed()) for _ in range(30)]
        await scene.clock.pass_time(5)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        before = hanging.calls
        await scene.embed(30)
        assert hanging.calls == before
        assert all(state.in_flight == 0 for state in scene.pool.roster.states())


async def test_an_instance_that_swallows_questions_is_left_out_although_nothing_ever_fails(scene: Scene) -> None:
    async with scene:
        for _ in range(30):
            await scene.embed()
            await scene.clock.pass_time(0.5)
        scene.by_url[ONE].hold = asyncio.Event()
        late = 0
        for _ in range(300):
            asking = asyncio.create_task(scene.embed())
            await scene.clock.pass_time(1)
            late += not asking.done()
            asking.cancel()  # its deadline
            await asyncio.gather(asking, return_exceptions=True)
        assert scene.states()[ONE] in ("open", "half-open")
        assert late < 40  # three at first, and a trial every 11 to 15 s


async def test_the_call_that_tries_a_broken_instance_is_answered_by_another(scene: Scene) -> None:
    async with scene:
        broken = scene.by_url[ONE]
        broken.trouble = Transient("away")
        while scene.states()[ONE] == "closed":
            await scene.embed()
        for tried in range(broken.calls + 1, broken.calls + 4):
            while scene.states()[ONE] == "open":
                await scene.clock.pass_time(1)
            others = sum(scene.by_url[url].calls for url in (TWO, THREE))
            await scene.embed()
            assert broken.calls == tried
            assert sum(scene.by_url[url].calls for url in (TWO, THREE)) == others + 1
            assert scene.states()[ONE] == "open"


async def test_only_quiet_instances_are_asked_for_their_health_and_ill_ones_left_out(scene: Scene) -> None:
    async with scene:
        one = scene.by_url[ONE]
        one.ill = "the model is gone"
        await scene.clock.pass_time(PROBE_EVERY_S)
        assert one.probes == 1
        assert scene.states()[ONE] == "closed"  # one failure may be a restart
        await scene.clock.pass_time(PROBE_EVERY_S)
        assert scene.states()[ONE] == "excluded"
        before = one.calls
        await scene.embed(30)
        assert one.calls == before
        one.ill = ""
        await scene.clock.pass_time(PROBE_EVERY_S)
        assert scene.states()[ONE] == "closed"
        await scene.clock.pass_time(12)
        probes = one.probes
        for _ in range(10):
            await scene.clock.pass_time(1)
            await scene.embed(10)
        assert one.calls > before
        assert one.probes == probes  # its answers are proof enough


async def test_where_all_are_ill_they_are_asked_all_the_same(scene: Scene) -> None:
    async with scene:
        for instance in scene.by_url.values():
            instance.ill = "no"
        await scene.clock.pass_time(2 * PROBE_EVERY_S)
        assert set(scene.states().values()) == {"excluded"}
        await scene.embed(5)


async def test_instances_that_were_ill_and_answer_are_well(scene: Scene) -> None:
    async with scene:
        for instance in scene.by_url.values():
            instance.ill = "no"
        await scene.clock.pass_time(2 * PROBE_EVERY_S)
        assert set(scene.states().values()) == {"excluded"}
        for instance in scene.by_url.values():
            instance.ill = ""
        for _ in range(10):
            await scene.embed(10)
            await scene.clock.pass_time(1)
        assert set(scene.states().values()) == {"closed"}


async def test_what_comes_after_all_are_gone_must_serve_the_same_model(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NAME)
    scene.names.addresses = frozenset({"10.0.0.1"})
    async with scene:
        scene.build(SECOND).model = "m2"
        scene.names.addresses = frozenset({"10.0.0.2"})
        await scene.clock.pass_time(2 * RESOLVE_EVERY_S + 1)
        await scene.clock.pass_time(2 * RESOLVE_EVERY_S)
        assert scene.states() == {SECOND: "open"}
        assert scene.embedder.model == "m1"
        with pytest.raises(Transient, match=r"m2 with 2 dimensions, .*m1"):
            await scene.embed()


async def test_an_instance_that_leaves_while_it_is_opened_is_closed_after_that(tmp_path: Path) -> None:
    scene = Scene(tmp_path, NAME)
    scene.names.addresses = frozenset({"10.0.0.1"})
    async with scene:
        slow = scene.build(SECOND)
        slow.slow_door = asyncio.Event()
        scene.names.addresses = frozenset({"10.0.0.1", "10.0.0.2"})
        await scene.clock.pass_time(2 * RESOLVE_EVERY_S)
        scene.names.addresses = frozenset({"10.0.0.1"})
        await scene.clock.pass_time(3 * RESOLVE_EVERY_S)
        slow.slow_door.set()
        await scene.clock.pass_time(2)
        assert not slow.is_open
        assert scene.states() == {FIRST: "closed"}
