"""`headwater contract`: the checks against real servers, what it prints, and what it leaves behind."""

import asyncio
import json
import re

import pytest

from processors.conformance import embedder, index
from streams.local.listeners import free_ports
from streams.settings import Settings
from tests.servers.faults import FaultServer, answer
from tests.streams.cli.conftest import Run


def test_an_embedder_is_checked_and_measured(run: Run) -> None:
    result = run("contract", "embedded://minilm-int8")
    assert result.exit_code == 0, result.output
    assert "writes nothing" in result.stdout
    assert "rows are finite and of unit length" in result.stdout
    assert f"{len(embedder.CHECKS)} passed, 0 failed, 0 skipped; model 'minilm-int8" in result.stdout
    assert "384 dimensions, one text in" in result.stdout


def test_the_port_is_guessed_by_asking(run: Run) -> None:
    report = json.loads(run("contract", "embedded://minilm", "--json").stdout)
    assert report["port"] == "reranker"
    assert {check["verdict"] for check in report["checks"]} == {"passed"}
    assert report["facts"]["three_passages_ms"] > 0


@pytest.mark.stack
def test_an_index_is_tried_in_collections_that_are_gone_afterwards(run: Run, stack: Settings) -> None:
    result = run("contract", stack.index_url)
    assert result.exit_code == 0, result.output
    assert f"{len(index.CHECKS)} passed, 0 failed, 0 skipped" in result.stdout
    assert "one read of one's own write in" in result.stdout
    [name] = re.findall(r"writes collections named (headwater_contract_\w+)\.\.\.", result.stdout)
    assert [each for each in _collections(stack) if each.startswith(name)] == []


@pytest.mark.stack
def test_a_language_model_is_asked(run: Run, stack: Settings) -> None:
    result = run("contract", stack.generator_url, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["port"] == "generator"
    assert report["facts"]["first_piece_ms"] > 0


def test_a_model_that_breaks_the_contract_ends_in_exit_code_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from processors.backends.embedded.onnx import OnnxEmbedder

    monkeypatch.setattr(OnnxEmbedder, "dimensions", 7)
    result = run("contract", "embedded://minilm-int8")
    assert result.exit_code == 1
    assert "FAILED" in result.stdout
    assert "expected (6, 7), got (6, 384)" in result.stdout
    assert "none can be stored" in result.stdout
    assert "one text in" not in result.stdout


@pytest.mark.parametrize(
    ("url", "setting"),
    [("openai+http://127.0.0.1:{port}/v1?model=m", "generator"), ("milvus+http://127.0.0.1:{port}", "index")],
)
def test_a_server_that_is_away_is_one_line_that_names_it(run: Run, url: str, setting: str) -> None:
    [port] = free_ports(1)
    result = run("contract", url.format(port=port))
    assert result.exit_code == 3
    assert f"127.0.0.1:{port}" in result.stderr
    assert result.stderr.endswith(f"(here {setting} is the URL given)\n")
    assert result.stdout == ""


async def test_a_key_that_is_refused_is_that_of_the_command(run: Run) -> None:
    async with FaultServer(answer("who are you?", 401)) as server:
        result = await asyncio.to_thread(run, "contract", f"tei+{server.url}", "--port", "reranker")
    assert "set reranker_key to a key that is valid (here reranker_key is what --key-env names)" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nosuch://host",), "the schemes begin with tei, triton, openai, milvus, embedded"),
        (("embedded://nosuch",), "opens as no port (as embedder: "),
        (("embedded://minilm", "--port", "oracle"), "none of embedder, reranker, generator, index"),
        (("embedded://minilm", "--key-env", "NO_SUCH_KEY"), "this variable is not set"),
    ],
)
def test_a_wrong_argument_is_one_line_with_the_remedy(run: Run, arguments: tuple[str, ...], said: str) -> None:
    result = run("contract", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def _collections(stack: Settings) -> list[str]:
    from pymilvus import AsyncMilvusClient

    async def listed() -> list[str]:
        client = AsyncMilvusClient(uri=stack.index_url.removeprefix("milvus+").rpartition("/")[0])
        try:
            return list(await client.list_collections())
        finally:
            await client.close()

    return asyncio.run(listed())
