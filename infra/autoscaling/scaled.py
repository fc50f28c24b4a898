"""The ScaledObjects as they stand in infra/k8s/components/keda, and what would be wrong with them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from streams.runtime.segments import Segment

COMPONENT = Path(__file__).parent.parent / "k8s/components/keda"
SESSION_S = 10
"""After which a group misses a worker that was killed; `session.timeout.ms` in streams/runtime/engines/reader.py."""

Lane = Literal["ingest", "query"]


class _Part(BaseModel):
    """A part of the resource; a field that is not known here would be one that the simulation leaves out."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Policy(_Part):
    kind: Literal["Pods", "Percent"] = Field(alias="type")
    value: int
    period_s: int = Field(alias="periodSeconds")


class Direction(_Part):
    """How fast replicas may come, or go."""

    window_s: int = Field(alias="stabilizationWindowSeconds")
    select: Literal["Max", "Min", "Disabled"] = Field(alias="selectPolicy")
    policies: tuple[Policy, ...]


class Fallback(_Part):
    """How many replicas there are at least where a trigger cannot be read."""

    failures: int = Field(alias="failureThreshold")
    replicas: int
    behavior: Literal["currentReplicasIfHigher"]


@dataclass(frozen=True, slots=True)
class Trigger:
    """A number that is read, and how much of it a replica bears."""

    kind: Literal["kafka", "prometheus"]
    of: str
    """Topic, or query."""
    group: str
    """Consumer group; of a query empty."""
    target: float
    activation: float
    most: float = inf
    """What more of a topic's lag counts as: a replica's target for each partition, since no further one would read."""


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """Which Deployment has how many replicas by what."""

    name: str
    lane: Lane
    least: int
    most: int
    polling_s: int
    cooldown_s: int
    fallback: Fallback
    up: Direction
    down: Direction
    triggers: tuple[Trigger, ...]


def load(partitions: Mapping[str, int], component: Path = COMPONENT) -> Mapping[str, ScaledObject]:
    """The ScaledObjects by name, in their files' order. `partitions`: of each topic by its name."""
    documents = [each for path in sorted(component.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
    resources = [each for each in documents if each["kind"] == "ScaledObject"]
    return {each["metadata"]["name"]: _scaled(each, partitions) for each in resources}


def _scaled(resource: Mapping[str, Mapping[str, object]], partitions: Mapping[str, int]) -> ScaledObject:
    labels, name = resource["metadata"]["labels"], resource["metadata"]["name"]
    spec = _Spec.model_validate(resource["spec"])
    behavior = spec.advanced.hpa.behavior
    assert isinstance(labels, dict)
    if spec.target.name != name:
        raise ValueError(f"ScaledObject {name!r} scales {spec.target.name!r}: give both one name")
    return ScaledObject(
        str(name),
        labels["headwater.dev/lane"],
        spec.least,
        spec.most,
        spec.polling_s,
        spec.cooldown_s,
        spec.fallback,
        behavior.up,
        behavior.down,
        tuple(_trigger(each, partitions) for each in spec.triggers),
    )


def _trigger(trigger: "_Trigger", partitions: Mapping[str, int]) -> Trigger:
    read = trigger.metadata
    if trigger.type == "prometheus":
        return Trigger("prometheus", read["query"], "", float(read["threshold"]), 0)
    target, topic = float(read["lagThreshold"]), read["topic"]
    activation = float(read.get("activationLagThreshold", 0))
    return Trigger("kafka", topic, read["consumerGroup"], target, activation, target * partitions.get(topic, 0))


class _Target(_Part):
    name: str


class _Behavior(_Part):
    up: Direction = Field(alias="scaleUp")
    down: Direction = Field(alias="scaleDown")


class _Hpa(_Part):
    behavior: _Behavior


class _Advanced(_Part):
    hpa: _Hpa = Field(alias="horizontalPodAutoscalerConfig")


class _Trigger(_Part):
    type: Literal["kafka", "prometheus"]
    metadata: Mapping[str, str]
    authenticationRef: Mapping[str, str] = {}  # noqa: N815  # Kubernetes' name


class _Spec(_Part):
    target: _Target = Field(alias="scaleTargetRef")
    polling_s: int = Field(alias="pollingInterval")
    cooldown_s: int = Field(default=300, alias="cooldownPeriod")
    least: int = Field(alias="minReplicaCount")
    most: int = Field(alias="maxReplicaCount")
    fallback: Fallback
    advanced: _Advanced
    triggers: tuple[_Trigger, ...]


def faults(objects: Mapping[str, ScaledObject], segments: Sequence[Segment], prefix: str = "") -> Iterator[str]:
    """What the code does not bear, a sentence each. `segments`: as the Deployments host them."""
    groups = {segment.group(prefix): segment for segment in segments}
    for segment in segments:
        if segment.name not in objects:
            yield f"no ScaledObject scales {segment.name!r}"
        else:
            yield from _of_stage(objects[segment.name], segment, prefix)
    for each in objects.values():
        if each.lane == "query" and each.least < 1:
            yield f"{each.name}: somebody waits for it, so minReplicaCount {each.least} must be at least 1"
        if each.least > each.most:
            yield f"{each.name}: minReplicaCount {each.least} is over maxReplicaCount {each.most}"
        for trigger in each.triggers:
            if trigger.kind == "kafka" and (
                trigger.group not in groups or prefix + groups[trigger.group].source.name != trigger.of
            ):
                yield f"{each.name}: no worker of group {trigger.group!r} reads {trigger.of!r}"


def _of_stage(scaled: ScaledObject, segment: Segment, prefix: str) -> Iterator[str]:
    """Of an object whose replicas are a consumer group's members."""
    name, partitions = scaled.name, segment.source.partitions
    if scaled.most > partitions:
        yield f"{name}: maxReplicaCount {scaled.most} is over the {partitions} partitions of {segment.source.name!r}"
    if scaled.lane != ("query" if segment.answers else "ingest"):
        yield f"{name}: is not of the lane {scaled.lane!r}"
    if segment.group(prefix) not in [trigger.group for trigger in scaled.triggers]:
        yield f"{name}: not scaled on the lag of its own group, {segment.group(prefix)!r}"
    for policy in scaled.down.policies:
        if policy.kind != "Pods" or policy.value != 1 or policy.period_s < 6 * SESSION_S:
            yield f"{name}: takes away more than one member a minute, so that one rebalance runs into the next"
    if scaled.down.window_s < 60:
        yield f"{name}: a scale-down after {scaled.down.window_s} s follows every pause; give a minute or more"
