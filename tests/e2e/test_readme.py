"""The first producer and the first caller in the README work as they stand there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.settings import Settings

README = Path(__file__).parent.parent.parent / "README.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if README.exists() else []
LOCAL_BROKER = "127.0.0.1:19092"

pytestmark = pytest.mark.stack


def run(program: str, deployment: Settings) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | deployment.environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_programs_publish_ask_and_get_a_cited_answer(deployment: Settings, workers: object) -> None:
    with_client, with_kafka_alone = PROGRAMS
    said = run(with_client, deployment)
    assert "DocumentIndexed" in said
    assert "the limit is 210 euros" in said
    assert "('handbook/travel.md', " in said

    assert LOCAL_BROKER in with_kafka_alone
    here = with_kafka_alone.replace(LOCAL_BROKER, deployment.kafka_url)
    for topic in ("answers", "queries"):
        here = here.replace(f'"{topic}"', f'"{deployment.topic_prefix}{topic}"')
    said = run(here, deployment)
    assert "headwater.answer-delta.v1" in said
    assert said.splitlines()[-1].startswith("headwater.answer-completed.v1 ")
