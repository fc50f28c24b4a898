"""COSTS.md says what the plans and the prices say."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from infra.terraform import costs
from infra.terraform.costs import ENVS, PAGE, Item, Prices, items, table
from infra.terraform.offline import HERE, Unavailable, plugin_folder
from infra.terraform.planned import Plan

PRICES = TypeAdapter(Prices).validate_json((HERE / "prices.json").read_bytes())


def missing() -> str:
    """What is missing for a plan, or nothing."""
    try:
        plugin_folder()
    except Unavailable as error:
        return str(error)
    return "" if shutil.which("terraform") else "no terraform on the PATH"


def resource(kind: str, after: Mapping[str, object], module: str = "module.platform") -> Mapping[str, object]:
    return {"address": f"{module}.{kind}", "module_address": module, "type": kind, "change": {"after": after}}


def group(module: str, *, spot: bool = False) -> list[Mapping[str, object]]:
    """A node group with its template, as a plan shows them."""
    return [
        resource(
            "aws_eks_node_group",
            {
                "instance_types": ["g6.xlarge", "g5.xlarge"],
                "capacity_type": "SPOT" if spot else "ON_DEMAND",
                "labels": {"headwater.dev/pool": "embed"},
                "scaling_config": [{"min_size": 0, "desired_size": 1, "max_size": 4}],
            },
            module,
        ),
        resource(
            "aws_launch_template",
            {"block_device_mappings": [{"ebs": [{}]}, {"ebs": [{"volume_size": 200, "throughput": 500}]}]},
            module,
        ),
    ]


def planned(*resources: Mapping[str, object]) -> Plan:
    return Plan.of({"resource_changes": resources})


@pytest.mark.skipif(bool(missing()), reason=f"COSTS.md is NOT checked: {missing()}")
@pytest.mark.timeout(400)  # a plan takes 20 s and, on a busy machine, minutes
def test_the_page_is_fresh() -> None:
    assert costs.main(["--check"]) == 0, "run `python -m infra.terraform.costs`"


def test_a_stale_page_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "plan", lambda _env: {"resource_changes": group("module.one")})
    page = tmp_path / "COSTS.md"
    assert costs.main([], to=page) == 0
    assert costs.main(["--check"], to=page) == 0
    page.write_text(page.read_text().replace("embed", "rerank"))
    assert costs.main(["--check"], to=page) == 1


def test_without_terraform_the_page_stays_and_it_is_said_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert costs.main([], to=tmp_path / "COSTS.md") == 2
    assert "cannot be reckoned" in capsys.readouterr().err
    assert not (tmp_path / "COSTS.md").exists()


def test_the_providers_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror" / "hashicorp" / "aws").mkdir(parents=True)
    monkeypatch.setenv("TF_PLUGIN_DIR", str(tmp_path))
    assert plugin_folder() == tmp_path


def test_the_page_names_every_env() -> None:
    assert [env.name for env in sorted((HERE / "envs").iterdir())] == list(ENVS)
    assert all(f"## {env}\n" in PAGE.read_text() for env in ENVS)


def test_nodes_count_with_their_disks_and_zones_as_one_item() -> None:
    (item,) = [each for each in items(planned(*group("module.a"), *group("module.b")), PRICES) if "embed" in each.what]
    assert (item.least, item.start, item.most) == (0, 2, 8)
    disk = 200 * PRICES.ebs_gp3_gib_month + (500 - 125) * PRICES.ebs_gp3_mib_s_month
    assert item.month == pytest.approx(PRICES.instance_hour["g6.xlarge"] * 730 + disk)


def test_spot_is_an_item_of_its_own_and_cheaper() -> None:
    both = planned(*group("module.a"), *group("module.b", spot=True))
    usual, spot = [each for each in items(both, PRICES) if "embed" in each.what]
    assert "spot" in spot.what
    assert spot.month < usual.month


def test_msk_counts_brokers_and_their_volumes() -> None:
    volume = {"ebs_storage_info": [{"volume_size": 500}]}
    brokers = [{"instance_type": "kafka.m7g.large", "storage_info": [volume]}]
    msk = resource("aws_msk_cluster", {"number_of_broker_nodes": 3, "broker_node_group_info": brokers})
    (item,) = [each for each in items(planned(msk), PRICES) if "MSK" in each.what]
    assert item.months[0] == pytest.approx(3 * (PRICES.msk_broker_hour["kafka.m7g.large"] * 730 + 50))


def test_what_is_deleted_costs_nothing() -> None:
    gone = {"address": "x", "type": "aws_nat_gateway", "change": {"after": None}}
    assert planned(gone).count("aws_nat_gateway") == 0


def test_a_missing_price_is_named() -> None:
    with pytest.raises(SystemExit, match=r"g6\.xlarge"):
        list(items(planned(*group("module.a")), replace(PRICES, instance_hour={})))


def test_the_sum_is_of_all_rows() -> None:
    text = table([Item("a", 10.0, 0, 1, 2), Item("b", 100.0, 1, 1, 1)])
    assert text.splitlines()[-1] == "| **sum** | | | | | **100** | **110** | **120** |"


def test_every_machine_with_gpus_has_a_price() -> None:
    known = json.loads((HERE / "modules" / "gpu_pool" / "instances.json").read_text())
    assert set(known) <= set(PRICES.instance_hour)
