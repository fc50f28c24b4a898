"""A worker as its supervisor sees it: the ready line, the drain on SIGTERM, the exit codes."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Producer
from opentelemetry.trace import NoOpTracer

from processors.backends.milvus.index import MilvusIndex
from processors.ports import Index
from streams import provisioning, worker
from streams.opening import ConfigError
from streams.settings import Settings
from streams.worker import Worker, _unless
from tests.processors.happenings import embedded, slices

pytestmark = pytest.mark.stack
PATIENCE_S = 60.0


@pytest.fixture
def deployment(stack: Settings) -> Settings:
    """Topics of its own on the shared stack."""
    settings = stack.model_copy(update={"topic_prefix": f"worker-{uuid4().hex[:8]}-"})
    provisioning.apply(settings, provisioning.plan(settings))
    return settings


def start(settings: Settings, *args: str, folder: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "streams", "worker", *args]
    environment = {**settings.environment, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True)


def read_until_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == "worker ready":
            return
    raise AssertionError(f"ended with {process.wait()} before it was ready")


def test_sigterm_drains_a_worker_and_leaves_nothing_behind(deployment: Settings, tmp_path: Path) -> None:
    process = start(deployment, "--stages", "chunk", folder=tmp_path)
    try:
        read_until_ready(process)
        producer = Producer({**deployment.kafka_config, "log_level": 0})
        producer.produce(f"{deployment.topic_prefix}documents", b"{not json: secret text", key=b"k")
        producer.flush()
        assert process.stderr is not None
        letter = json.loads(process.stderr.readline())
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.communicate()
    assert letter["event"] == "dead letter"
    assert (letter["code"], letter["stage"], letter["offset"]) == ("schema", "chunk", 0)
    assert len(letter["trace_id"]) == 32
    assert "secret" not in json.dumps(letter)
    assert json.loads(rest.splitlines()[-1])["event"] == "worker stopped"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"generator": "openai+http://127.0.0.1:1/v1"}, "model=NAME"),
        ({"embedder": "embedded://minilm-int8?threads=x"}, "threads='x'"),
        ({"index": "milvus+http://me:s3cret@host:19530/c"}, "into index_token"),
        ({"generator": "openai+http://me:s3cret@host/v1?model=m"}, "into generator_key"),
        ({"index": "postgres://here"}, "no backend for 'postgres://here'"),
        ({"engine": "faust", "kafka_options": {"linger.ms": "5"}}, "kafka_options 'linger.ms'"),
        ({"engine": "faust", "instance_id": "one"}, "'instance_id'"),
    ],
)
def test_settings_that_cannot_work_are_named_before_anything_is_opened(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)) as error:
        Worker(Settings(**wrong), (), tracer=NoOpTracer())
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("stages", "prefix", "reason"),
    [
        ("embd", "", "'embd' is none of chunk, embed, upsert, retrieve, rerank, generate"),
        ("chunk", "absent-", "has no topic absent-documents"),
    ],
)
def test_wrong_settings_end_with_code_2(stack: Settings, tmp_path: Path, stages: str, prefix: str, reason: str) -> None:
    settings = stack.model_copy(update={"topic_prefix": prefix})
    process = start(settings, "--stages", stages, folder=tmp_path)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert reason in errors


async def test_a_worker_of_questions_needs_the_topic_of_their_cancellations(stack: Settings) -> None:
    settings = stack.model_copy(update={"topic_prefix": f"worker-{uuid4().hex[:8]}-"})
    others = [each for each in provisioning.plan(settings) if not each.topic.name.endswith("-cancellations")]
    provisioning.apply(settings, others)
    with pytest.raises(ConfigError, match=f"has no topic {settings.topic_prefix}cancellations; "):
        await Worker(settings, ("rerank",), tracer=NoOpTracer()).run(asyncio.Event())


@pytest.mark.parametrize("stages", ["embed", "retrieve"])
async def test_a_worker_whose_model_is_not_the_collection_s_refuses_to_start(deployment: Settings, stages: str) -> None:
    index = MilvusIndex(f"{deployment.index_url}_{uuid4().hex[:8]}")
    settings = deployment.model_copy(update={"index": f"{deployment.index_url.rpartition('/')[0]}/{index.name}"})
    await index.open()
    try:
        await index.write(await embedded(slices(["one"])[0]))
        with pytest.raises(ConfigError, match=f"minilm-int8-.*/{index.name} come from 'hashed-words': set `embedder`"):
            await Worker(settings, (stages,), tracer=NoOpTracer()).run(asyncio.Event())
    finally:
        await index.drop()
        await index.close()


async def test_an_opening_that_is_stopped_has_unwound_before_anything_is_closed() -> None:
    stop, unwound = asyncio.Event(), asyncio.Event()

    async def opening() -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            unwound.set()

    await _unless(stop, opening())
    assert unwound.is_set()


async def test_sweeping_has_unwound_before_the_index_is_closed(
    deployment: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, unwound = asyncio.Event(), asyncio.Event()

    async def sweeping(index: Index) -> None:
        try:
            stop.set()
            await asyncio.Event().wait()
        finally:
            await index.sweep()
            unwound.set()

    monkeypatch.setattr(worker, "keep_sweeping", sweeping)
    await Worker(deployment, ("upsert",), tracer=NoOpTracer()).run(stop)
    assert unwound.is_set()
