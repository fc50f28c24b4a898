"""The CronJobs of the backup say what `headwater` knows, keep out of each other's way, and are watched by alerts."""

import re
from datetime import timedelta

import pytest

from streams.cli import COMMANDS, problems
from streams.topics import DOCUMENTS
from tests.infra.manifests import COMBINATIONS, Object, of_kind, pods

OVERLAYS = ("overlays/prod", "overlays/dev-aws")
WEEK = timedelta(days=7)


def jobs(tree: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each["spec"] for each in of_kind(tree, "CronJob")}


def windows(spec: Object) -> list[tuple[timedelta, timedelta]]:
    """When of a week its pods may be there: from the hour that its schedule says until its deadline."""
    minute, hour, _, _, weekday = spec["schedule"].split()
    days = range(7) if weekday == "*" else [int(weekday)]
    lasts = timedelta(seconds=spec["startingDeadlineSeconds"] + spec["jobTemplate"]["spec"]["activeDeadlineSeconds"])
    starts = [timedelta(days=day, hours=int(hour), minutes=int(minute)) for day in days]
    return [(start, start + lasts) for start in starts]


@pytest.mark.parametrize("tree", COMBINATIONS)
def test_every_container_of_ours_is_told_a_command_that_exists(tree: str) -> None:
    for pod in pods(tree):
        for name, container, _ in pod.containers():
            if "headwater-" in container["image"] and "command" not in container:
                word, further = container["args"][:2]
                entry = COMMANDS[word]
                assert further.startswith("--") or further in entry, name  # type: ignore[operator]  # a group of words


@pytest.mark.parametrize("tree", OVERLAYS)
def test_nothing_is_saved_while_deleted_documents_are_taken_out(tree: str) -> None:
    found = jobs(tree)
    assert found["restore"]["suspend"] is True
    for name in ("backup", "forget"):
        assert found[name]["timeZone"] == "Etc/UTC"
        assert found[name]["concurrencyPolicy"] == "Forbid"
    for start, end in windows(found["forget"]):
        for begin, over in windows(found["backup"]):
            for week in (-WEEK, timedelta(), WEEK):
                assert end <= begin + week or over + week <= start


@pytest.mark.parametrize("tree", OVERLAYS)
def test_what_another_try_cannot_mend_is_not_tried_again(tree: str) -> None:
    for spec in jobs(tree).values():
        job = spec["jobTemplate"]["spec"]
        assert job["template"]["spec"]["restartPolicy"] == "Never"
        [rule] = job["podFailurePolicy"]["rules"]
        assert rule["action"] == "FailJob"
        hopeless = {problems.REJECTED, problems.USAGE, problems.FAILED}
        assert set(rule["onExitCodes"]["values"]) == hopeless
        assert not hopeless & {problems.UNREACHABLE, problems.TIMED_OUT}


@pytest.mark.parametrize("tree", OVERLAYS)
def test_documents_are_saved_several_times_before_the_broker_forgets_them(tree: str) -> None:
    every = WEEK / len(windows(jobs(tree)["backup"]))
    assert timedelta(milliseconds=DOCUMENTS.retention_ms) >= 3 * every


@pytest.mark.parametrize("tree", OVERLAYS)
def test_alerts_watch_jobs_pods_and_certificates_that_exist(tree: str) -> None:
    [rules] = of_kind(tree, "PrometheusRule")
    said = " ".join(rule["expr"] for group in rules["spec"]["groups"] for rule in group["rules"])
    assert set(re.findall(r'cronjob="(\w+)"', said)) == {"backup"}
    [named] = re.findall(r'job_name=~"\((.+?)\)-', said)
    assert set(named.split("|")) == {"backup", "forget"}
    assert set(jobs(tree)) >= {"backup", *named.split("|")}
    certificates = {each["metadata"]["name"] for each in of_kind("overlays/prod", "Certificate")}
    assert set(re.findall(r'name="([\w-]+)"}', said)) <= certificates
    [milvus] = of_kind(tree, "Milvus")
    [proxies] = re.findall(r'pod=~"([\w-]+)-\.\*"', said)
    assert proxies == f"{milvus['metadata']['name']}-milvus-proxy"
