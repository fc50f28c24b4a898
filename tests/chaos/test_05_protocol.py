"""5. The broker answers by errors of the protocol, or writes what it is given and hangs up without a word."""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from streams.provisioning import desired
from streams.settings import Settings
from tests.chaos.report import Report
from tests.chaos.scenario import Run, Scenario
from tests.chaos.workload import Shape
from tests.servers import mock_kafka
from tests.servers.mock_kafka import MockKafka

pytestmark = pytest.mark.stack
ERRORS = {
    mock_kafka.PRODUCE: (
        KafkaError._TRANSPORT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    ),
    mock_kafka.FETCH: (
        KafkaError._TRANSPORT,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.OFFSET_OUT_OF_RANGE,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.FENCED_LEADER_EPOCH,
    ),
    mock_kafka.METADATA: (KafkaError._TRANSPORT,),
    mock_kafka.OFFSET_COMMIT: (
        KafkaError._TRANSPORT,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.REQUEST_TIMED_OUT,
    ),
    mock_kafka.FIND_COORDINATOR: (KafkaError.COORDINATOR_NOT_AVAILABLE,),
    mock_kafka.HEARTBEAT: (
        KafkaError._TRANSPORT,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.NOT_COORDINATOR,
    ),
    mock_kafka.JOIN_GROUP: (KafkaError.UNKNOWN_MEMBER_ID, KafkaError.COORDINATOR_LOAD_IN_PROGRESS),
    mock_kafka.SYNC_GROUP: (KafkaError.REBALANCE_IN_PROGRESS, KafkaError.UNKNOWN_MEMBER_ID),
}
"""By the kind of request, what the pipeline must outlive."""
LOST = -1
"""The kind of a request that is done, and of which nobody hears."""
CAUSES = {
    mock_kafka.FIND_COORDINATOR: (KafkaError.NOT_COORDINATOR,),
    mock_kafka.JOIN_GROUP: (KafkaError.REBALANCE_IN_PROGRESS,),
    mock_kafka.SYNC_GROUP: (KafkaError.REBALANCE_IN_PROGRESS,),
}
"""What a heartbeat must hear so that there are requests of a kind."""
MANY = {mock_kafka.FETCH: 40, mock_kafka.METADATA: 5}
"""So many clients fetch that the workers among them would rarely hear a few."""
HEARD_S = 4.0
"""Heartbeats come once a second."""
OPTIONS = {
    "fetch.wait.max.ms": "10",
    # The mock takes a record behind one that it has refused, which no real broker does.
    "max.in.flight.requests.per.connection": "1",
    "topic.metadata.refresh.interval.ms": "1000",
}


class ProtocolErrors(Scenario):
    """Everybody hears errors from the broker, of every kind of request."""

    number = 5
    name = "protocol errors"
    shape = Shape(over_s=10)

    def __init__(self, mock: MockKafka) -> None:
        self._mock = mock

    def adapt(self, settings: Settings, random: Random) -> Settings:
        options = {name: SecretStr(value) for name, value in OPTIONS.items()}
        adapted = super().adapt(settings, random)
        # The mock knows no static members.
        return adapted.model_copy(update={"kafka_options": options, "instance_id": ""})

    async def deploy(self, settings: Settings, resources: AsyncExitStack) -> None:
        for spec in desired(settings):
            self._mock.topic(spec.name, partitions=spec.partitions)

    async def strike(self, run: Run) -> None:
        """Each kind of request fails once, in any order, and one acknowledgement is lost."""
        for kind in run.random.sample([*ERRORS, LOST], k=len(ERRORS) + 1):
            await asyncio.sleep(run.random.uniform(0.1, 0.6))
            await run.busy()
            if run.driven.is_set() and not run.unanswered:
                break
            if kind == LOST:
                await self._lose_an_acknowledgement(run)
            else:
                await self._err(run, kind, run.random.choice(ERRORS[kind]))

    async def _err(self, run: Run, kind: int, error: int) -> None:
        times = MANY.get(kind, run.random.randint(1, 4))
        self._mock.fail(kind, error, times=times)
        for cause in CAUSES.get(kind, ()):
            self._mock.fail(mock_kafka.HEARTBEAT, cause)
        heard = await self._heard(kind, times)
        evidence = f"heard {heard} times, {run.unanswered} unanswered"
        what = f"{KafkaError(error).name()} to request {kind}"
        run.note(what, "broker", struck=bool(heard and run.unanswered), evidence=evidence)

    async def _lose_an_acknowledgement(self, run: Run) -> None:
        """The broker writes a batch, and hangs up before it says so."""
        self._mock.fail(mock_kafka.PRODUCE, KafkaError.NO_ERROR, after_ms=60_000)
        heard = await self._heard(mock_kafka.PRODUCE, 1)
        self._mock.down()
        await asyncio.sleep(run.random.uniform(0, 1))
        self._mock.up()
        run.note("acknowledgement lost", "broker", struck=bool(heard), evidence=f"{heard} batches")

    async def _heard(self, kind: int, times: int) -> int:
        until = time.monotonic() + HEARD_S
        while self._mock.pending(kind) and time.monotonic() < until:  # noqa: ASYNC110 (the mock knows, in its thread)
            await asyncio.sleep(0.01)
        return times - self._mock.pending(kind)


async def test_nothing_is_lost_when_confluent_hears_errors(
    stack: Settings, seed: int, tmp_path: Path, report: Report
) -> None:
    with MockKafka() as mock:
        theirs = stack.model_copy(update={"kafka": mock.address})
        report.judge(await ProtocolErrors(mock).run(theirs, seed=seed, engine="confluent", folder=tmp_path))
