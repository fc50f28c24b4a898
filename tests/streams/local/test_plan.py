"""Which parts the local stack starts."""

from pathlib import Path

import pytest

from streams.local.plan import parts_of
from streams.settings import LocalStack, Settings


@pytest.mark.parametrize(
    ("setting", "url", "part", "started"),
    [
        ("index", "", "milvus", True),
        ("index", "milvus+http://127.0.0.1:1530/another-collection", "milvus", True),
        ("index", "milvus+http://127.0.0.1:1531/theirs", "milvus", False),
        ("index", "milvus+http://vectors:1530/theirs", "milvus", False),
        ("generator", "openai+http://localhost:1080/v1?model=other-name", "llm", True),
        ("generator", "openai+http://vllm:8000/v1?model=m", "llm", False),
    ],
)
def test_a_part_is_started_unless_its_address_is_elsewhere(
    setting: str, url: str, part: str, started: bool, tmp_path: Path
) -> None:
    ports = LocalStack(milvus_port=1530, llm_port=1080)
    settings = Settings(home=tmp_path, kafka="broker:1", local=ports).model_copy(update={setting: url})
    assert (part in [each.name for each in parts_of(settings)]) == started


def test_two_workers_on_one_machine_share_no_health_port(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, health_port=8090)
    workers = [each for each in parts_of(settings) if each.name.endswith("-worker")]
    assert [each.environment["HEADWATER_HEALTH_PORT"] for each in workers] == ["0", "0"]
