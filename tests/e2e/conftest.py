"""The whole pipeline at work: real workers in processes of their own, on topics of their own."""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, TopicPartition

from streams import provisioning
from streams.settings import Settings

INGEST, QUERY = "chunk,embed,upsert", "retrieve,rerank,generate"
PATIENCE_S = 90.0
"""A worker reads its model from a cold disk, on two cores that everything shares."""


class Worker:
    """A worker process that can be killed and started again."""

    def __init__(self, settings: Settings, stages: str, log: Path) -> None:
        self._settings = settings
        self._stages = stages
        self._log = log
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-m", "streams", "worker", "--stages", self._stages]
        with self._log.open("ab") as log:
            self._begins = log.tell()
            self._process = subprocess.Popen(command, env=os.environ | self._settings.environment, stderr=log)

    def wait_ready(self) -> None:
        until = time.monotonic() + PATIENCE_S
        while b"worker ready" not in self._log.read_bytes()[self._begins :]:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


@pytest.fixture(scope="package")
def deployment(stack: Settings) -> Settings:
    """A deployment beside that of the stack: its own topics and its own place for spans."""
    home = stack.home / "e2e"
    settings = stack.model_copy(update={"topic_prefix": "e2e-", "home": home, "objects": stack.objects_url})
    provisioning.apply(settings)
    return settings


@pytest.fixture(scope="package")
def workers(deployment: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Worker]]:
    """The two workers that `headwater up` starts, by the pipeline that they host."""
    logs = tmp_path_factory.mktemp("workers")
    running = {
        name: Worker(deployment, stages, logs / f"{name}.log")
        for name, stages in (("ingest", INGEST), ("query", QUERY))
    }
    try:
        for worker in running.values():
            worker.wait_ready()
        yield running
    finally:
        for worker in running.values():
            worker.stop()


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def dead_letter(deployment: Settings) -> Callable[[str, Callable[[Message], bool]], Message]:
    """The first dead letter of a topic that fits."""

    def find(topic: str, fits: Callable[[Message], bool]) -> Message:
        consumer = Consumer({**deployment.kafka_config, "group.id": "e2e-reader", "enable.auto.commit": False})
        try:
            consumer.assign([TopicPartition(f"{deployment.topic_prefix}{topic}-dlq", 0, 0)])
            until = time.monotonic() + PATIENCE_S
            while time.monotonic() < until:
                message = consumer.poll(0.1)
                if message is not None and message.error() is None and fits(message):
                    return message
            pytest.fail(f"no such dead letter of {topic}")
        finally:
            consumer.close()

    return find
