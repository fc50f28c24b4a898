"""The ScaledObjects fit the code, autoscalers decide as documented, and docs/autoscaling.md is about these files."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from infra.autoscaling.assumed import POOLS, Assumed
from infra.autoscaling.hpa import Autoscaler
from infra.autoscaling.pods import Pods, Pool
from infra.autoscaling.queues import Queue, Stage
from infra.autoscaling.scaled import COMPONENT, Direction, Fallback, Policy, ScaledObject, Trigger, faults, load
from infra.autoscaling.scenarios import NIGHT, play
from infra.autoscaling.simulate import PARTITIONS, pages, stages
from tests.infra.manifests import of_kind


@pytest.fixture(scope="module")
def scaled() -> Mapping[str, ScaledObject]:
    return load(PARTITIONS)


def changed(component: Path, file: str, old: str, new: str, *, after: str = "") -> list[str]:
    """What is wrong with a copy of the ScaledObjects in which a line was changed."""
    for path in COMPONENT.glob("*.yaml"):
        (component / path.name).write_text(path.read_text())
    text = (component / file).read_text()
    place = text.index(old, text.index(after))
    (component / file).write_text(text[:place] + new + text[place + len(old) :])
    return list(faults(load(PARTITIONS, component), stages()))


# The files


def test_scaled_objects_fit_the_code(scaled: Mapping[str, ScaledObject]) -> None:
    assert list(faults(scaled, stages())) == []


def test_more_replicas_than_partitions_are_refused(tmp_path: Path) -> None:
    wrong = changed(tmp_path, "ingest.yaml", "maxReplicaCount: 8", "maxReplicaCount: 9")
    assert wrong == ["chunk: maxReplicaCount 9 is over the 8 partitions of 'documents'"]


@pytest.mark.parametrize("name", ["retrieve", "rerank", "generate", "tei-embed", "tei-rerank", "vllm"])
def test_query_path_that_could_reach_zero_is_refused(tmp_path: Path, name: str) -> None:
    wrong = changed(tmp_path, "query.yaml", "minReplicaCount: 2", "minReplicaCount: 0", after=f"  name: {name}\n")
    assert wrong == [f"{name}: somebody waits for it, so minReplicaCount 0 must be at least 1"]


def test_stage_in_the_wrong_lane_is_refused(tmp_path: Path) -> None:
    wrong = changed(tmp_path, "query.yaml", "lane: query", "lane: ingest")
    assert wrong == ["retrieve: is not of the lane 'ingest'"]


@pytest.mark.parametrize(
    ("old", "new"), [("headwater-chunk", "headwater-chunks"), ("topic: documents", "topic: chunks")]
)
def test_group_and_topic_that_are_not_the_codes_are_refused(tmp_path: Path, old: str, new: str) -> None:
    assert any("reads" in fault for fault in changed(tmp_path, "ingest.yaml", old, new))


def test_stage_without_scaled_object_is_refused(scaled: Mapping[str, ScaledObject]) -> None:
    rest = {name: each for name, each in scaled.items() if name != "upsert"}
    assert list(faults(rest, stages())) == ["no ScaledObject scales 'upsert'"]


@pytest.mark.parametrize("step", ["value: 4, periodSeconds: 60", "value: 1, periodSeconds: 15"])
def test_group_that_loses_members_in_quick_succession_is_refused(tmp_path: Path, step: str) -> None:
    wrong = changed(tmp_path, "ingest.yaml", "value: 1, periodSeconds: 60", step)
    assert wrong == ["chunk: takes away more than one member a minute, so that one rebalance runs into the next"]


def test_scale_down_after_every_pause_is_refused(tmp_path: Path) -> None:
    wrong = changed(tmp_path, "ingest.yaml", "stabilizationWindowSeconds: 300", "stabilizationWindowSeconds: 30")
    assert wrong == ["chunk: a scale-down after 30 s follows every pause; give a minute or more"]


def test_more_replicas_at_least_than_at_most_are_refused(tmp_path: Path) -> None:
    wrong = changed(tmp_path, "query.yaml", "minReplicaCount: 2", "minReplicaCount: 9")
    assert wrong == ["retrieve: minReplicaCount 9 is over maxReplicaCount 8"]


def test_field_that_the_simulation_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="idleReplicaCount"):
        changed(tmp_path, "ingest.yaml", "minReplicaCount: 0", "idleReplicaCount: 0\n  minReplicaCount: 1")


def test_gpus_stay_longer_than_the_next_would_take_to_come(scaled: Mapping[str, ScaledObject]) -> None:
    assumed = Assumed()
    for name in POOLS:
        model_s = assumed.vllm_start_s if name == "vllm" else assumed.tei_start_s
        assert scaled[name].down.window_s >= 2 * (assumed.gpu_node_s + model_s), name


def test_vllm_writes_as_many_answers_at_a_time_as_is_assumed() -> None:
    [server] = [each for each in of_kind("overlays/prod", "Deployment") if each["metadata"]["name"] == "vllm"]
    [container] = server["spec"]["template"]["spec"]["containers"]
    assert f"--max-num-seqs={Assumed().vllm_sequences:g}" in container["args"]


# The algorithm


def scaler(*, least: int = 1, most: int = 10, **fields: object) -> Autoscaler:
    """On the lag of a topic with ten partitions, ten records a replica; ups and downs at once."""
    free = Direction.model_validate(
        {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}],
        }
    )
    plain = ScaledObject(
        "it",
        "ingest",
        least,
        most,
        polling_s=15,
        cooldown_s=60,
        fallback=Fallback(failureThreshold=3, replicas=4, behavior="currentReplicasIfHigher"),
        up=free,
        down=free,
        triggers=(Trigger("kafka", "topic", "group", 10, 0, 100),),
    )
    return Autoscaler(replace(plain, **fields))  # type: ignore[arg-type]  # each test names what it varies


def pace(window_s: int, *policies: tuple[str, int, int], select: str = "Max") -> Direction:
    return Direction.model_validate(
        {
            "stabilizationWindowSeconds": window_s,
            "selectPolicy": select,
            "policies": [
                Policy.model_validate({"type": kind, "value": value, "periodSeconds": period_s})
                for kind, value, period_s in policies
            ],
        }
    )


def run(autoscaler: Autoscaler, replicas: int, read: Sequence[float | None]) -> list[int]:
    """Replicas after each decision, 15 s apart; the value read last stays."""
    seen = []
    for turn, value in enumerate(read):
        for second in range(15):
            replicas = autoscaler.step(15 * turn + second, replicas, [value])
        seen.append(replicas)
    return seen


@pytest.mark.parametrize(("lag", "wanted"), [(1, 1), (10, 1), (31, 4), (40, 4), (1_000, 10)])
def test_replicas_are_the_lag_over_the_target_rounded_up(lag: float, wanted: int) -> None:
    assert run(scaler(), 2, [lag]) == [wanted]


def test_change_within_a_tenth_is_none() -> None:
    assert run(scaler(), 4, [43]) == [4]
    assert run(scaler(), 4, [45]) == [5]


def test_lag_counts_no_more_than_the_partitions_bear() -> None:
    assert run(scaler(most=20), 1, [10_000]) == [10]


def test_largest_of_several_triggers_decides() -> None:
    two = scaler(triggers=(Trigger("kafka", "a", "a", 10, 0), Trigger("prometheus", "q", "", 2, 0)))
    assert two.step(0, 1, [10.0, 6.0]) == 3


def test_peak_shorter_than_the_window_up_adds_nothing() -> None:
    assert run(scaler(up=pace(30, ("Pods", 100, 15))), 1, [10, 50, 10, 50, 50, 50]) == [1, 1, 1, 1, 5, 5]


def test_window_down_holds_the_most_that_was_wanted_in_it() -> None:
    seen = run(scaler(down=pace(60, ("Pods", 100, 15))), 5, [50, 50, 10, 10, 10, 10, 10])
    assert seen == [5, 5, 5, 5, 5, 1, 1]


def test_policy_bounds_how_many_go_in_its_period() -> None:
    assert run(scaler(down=pace(0, ("Pods", 1, 60))), 5, [10] * 9) == [4, 4, 4, 4, 3, 3, 3, 3, 2]


@pytest.mark.parametrize(("select", "first"), [("Max", 6), ("Min", 4), ("Disabled", 3)])
def test_policy_that_changes_most_or_least_is_selected(select: str, first: int) -> None:
    two = pace(0, ("Percent", 100, 60), ("Pods", 1, 60), select=select)
    assert run(scaler(up=two), 3, [100])[0] == first


def test_nothing_to_do_ends_the_last_replica_after_the_cooldown() -> None:
    seen = run(scaler(least=0), 3, [30, 0, 0, 0, 0, 0, 0])
    assert seen == [3, 1, 1, 1, 1, 0, 0]


def test_replica_that_must_stay_stays() -> None:
    assert run(scaler(least=2), 2, [0] * 10) == [2] * 10


def test_zero_ends_at_the_next_poll_with_work() -> None:
    idle = scaler(least=0, polling_s=30)
    assert [idle.step(second, 0, [1.0]) for second in (15, 29)] == [0, 0]
    assert idle.step(30, 0, [1.0]) == 1


def test_activation_is_another_threshold_than_the_target() -> None:
    sleepy = scaler(least=0, triggers=(Trigger("kafka", "topic", "group", 10, 50),))
    assert sleepy.step(0, 0, [50.0]) == 0
    assert sleepy.step(15, 0, [51.0]) == 1


def test_unread_trigger_changes_nothing_until_it_has_failed_too_often() -> None:
    assert run(scaler(), 2, [20, None, None, None, None, 10]) == [2, 2, 2, 2, 4, 1]


def test_fallback_takes_nothing_away() -> None:
    assert run(scaler(), 7, [70, *[None] * 8]) == [7] * 9


def test_trigger_that_is_read_adds_but_takes_nothing_away_while_another_is_not() -> None:
    two = (Trigger("kafka", "a", "a", 10, 0), Trigger("prometheus", "q", "", 2, 0))
    assert scaler(triggers=two).step(0, 3, [10.0, None]) == 3
    assert scaler(triggers=two).step(0, 3, [50.0, None]) == 5


# What they work on


def test_pod_on_a_gpu_waits_for_its_node_and_its_model() -> None:
    pods = Pods(40, Pool(cards=1, node_s=240, idle_s=600))
    pods.scale(0, 1)
    assert [pods.serving(now_s) for now_s in (0, 279, 280)] == [0, 0, 1]


def test_node_is_paid_for_until_it_was_idle_for_long_and_serves_the_next_pod_sooner() -> None:
    pool = Pool(cards=1, node_s=240, idle_s=600)
    pods = Pods(40, pool)
    pods.scale(0, 1)
    pods.scale(1_000, 0)
    assert [pool.paid(now_s) for now_s in (1_000, 1_599)] == [1, 1]
    pods.scale(1_599, 1)
    assert pods.serving(1_639) == 1
    pods.scale(1_700, 0)
    assert [pool.paid(now_s) for now_s in (2_299, 2_300)] == [1, 0]


def test_card_that_is_free_on_a_node_is_taken_before_a_new_node() -> None:
    pool = Pool(cards=8, node_s=240, idle_s=600)
    pods = Pods(0, pool)
    pods.scale(0, 8)
    assert pool.paid(0) == 8
    pods.scale(0, 9)
    assert pool.paid(0) == 16


def test_queue_gives_the_oldest_and_refuses_the_youngest() -> None:
    queue = Queue()
    queue.put((1, 5))
    queue.put((2, 5))
    assert queue.refuse(8) == 2
    assert queue.take(6) == [(1, 5), (2, 1)]
    assert queue.size == 2
    assert queue.expire(3) == 2
    assert queue.size == 0


def test_members_beyond_the_partitions_do_nothing() -> None:
    pods = Pods(0)
    pods.scale(-100, 12)
    stage = Stage(pods, 10, partitions=8, rebalance_s=0)
    stage.queue.put((0, 1_000))
    assert sum(count for _, count in stage.work(0, 1_000, 1)) == 80


def test_group_reads_less_while_partitions_move() -> None:
    pods = Pods(0)
    pods.scale(-100, 4)
    stage = Stage(pods, 10, partitions=8, rebalance_s=3)
    stage.queue.put((0, 10_000))
    for now_s in range(10):
        stage.work(now_s, 1_000, 1)
    pods.scale(10, 5)
    assert [sum(count for _, count in stage.work(now_s, 1_000, 1)) for now_s in (10, 13)] == [40, 50]


def test_lag_counts_what_is_not_committed_yet() -> None:
    pods = Pods(0)
    pods.scale(-100, 1)
    stage = Stage(pods, 10, partitions=8, rebalance_s=0)
    stage.queue.put((0, 25))
    stage.work(0, 1_000, 1)
    assert stage.lag == 25


# The page


def test_same_seed_gives_the_same_run_and_another_does_not(scaled: Mapping[str, ScaledObject]) -> None:
    night = replace(NIGHT, hours=1, documents_s=lambda now_s: 0.01)
    once, again, other = (play(night, scaled, PARTITIONS, seed) for seed in (1, 1, 2))
    assert (once.replicas, once.outcomes) == (again.replicas, again.outcomes)
    assert once.outcomes != other.outcomes


def test_servers_have_their_fallback_while_prometheus_is_away(scaled: Mapping[str, ScaledObject]) -> None:
    seen = play(replace(NIGHT, hours=0.1, prometheus_away_s=(0, 360)), scaled, PARTITIONS).replicas
    assert {name: seen[name][-1] for name in ("tei-embed", "tei-rerank", "vllm")} == {
        name: scaled[name].fallback.replicas for name in ("tei-embed", "tei-rerank", "vllm")
    }


@pytest.mark.timeout(240)
def test_page_and_plot_are_fresh() -> None:
    for path, text in pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: run `make docs`"
