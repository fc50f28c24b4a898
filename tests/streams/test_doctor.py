"""The doctor, on a stack that is well and on none at all."""

from pathlib import Path
from uuid import uuid4

import pytest

from processors.backends.milvus.index import MilvusIndex
from streams import doctor
from streams.doctor import examine
from streams.settings import Settings
from tests.processors.happenings import embedded, slices
from tests.servers.faults import HANG, FaultServer


@pytest.mark.stack
async def test_all_is_well_on_a_running_stack(stack: Settings) -> None:
    findings = [finding async for finding in examine(stack)]
    assert [(finding.about, finding.said) for finding in findings if not finding.ok] == []
    assert {"broker", "topics", "index", "embedder", "generative answers"} <= {finding.about for finding in findings}


async def test_without_a_stack_each_finding_says_what_to_do(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, kafka="127.0.0.1:1", embedder="nonsense://x", otlp_endpoint="http://127.0.0.1:1")
    findings = {finding.about: finding async for finding in examine(settings)}
    assert findings["disk"].ok
    assert "headwater up" in findings["local stack"].remedy
    for about in ("broker", "embedder", "index", "generative answers", "traces"):
        assert not findings[about].ok
        assert findings[about].remedy
    assert "'nonsense://x'" in findings["embedder"].said
    assert findings["reranker"].said == "the same as with 'embedder' above"
    assert findings["reranker"].remedy == findings["embedder"].remedy
    assert "topics" not in findings


async def test_servers_that_hang_are_waited_for_once_and_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "PATIENCE_S", 1.0)
    async with FaultServer(HANG) as embedder, FaultServer(HANG) as generator:
        settings = Settings(
            home=tmp_path,
            kafka="127.0.0.1:1",
            index="milvus+http://127.0.0.1:1/documents",
            embedder=f"tei+{embedder.url}",
            generator=f"openai+{generator.url}/v1?model=m",
        )
        findings = {}
        async for finding in examine(settings):
            findings[finding.about] = finding
            if finding.about == "embedder":
                assert generator.requests  # it was asked meanwhile
    assert findings["embedder"].said == "embedder: no answer in 1 s"
    assert findings["generative answers"].said == "generative answers: no answer in 1 s"
    for about in ("reranker", "extractive answers"):
        assert findings[about].said == "the same as with 'embedder' above"
    assert len(embedder.requests) == 1


@pytest.mark.stack
async def test_vectors_of_another_model_are_found(stack: Settings) -> None:
    index = MilvusIndex(f"{stack.index_url}_{uuid4().hex[:8]}")
    await index.open()
    try:
        await index.write(await embedded(slices(["one"])[0]))
        settings = stack.model_copy(update={"index": f"{stack.index_url.rpartition('/')[0]}/{index.name}"})
        findings = {finding.about: finding async for finding in examine(settings)}
    finally:
        await index.drop()
        await index.close()
    assert findings["embedder"].ok
    assert not findings["vectors"].ok
    assert "'hashed-words': set `embedder` back" in findings["vectors"].said
