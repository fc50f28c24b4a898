"""The Embedder contract on real models, and what is this backend's own."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from processors.backends.embedded.model_files import locate
from processors.backends.embedded.onnx import OnnxEmbedder
from processors.errors import Poison, Transient
from processors.ports import Embedder, Role
from streams.truncation import truncated
from tests.processors.embedder_contract import EmbedderContract
from tests.processors.models import minilm

ROLES: tuple[Role, Role] = ("query", "passage")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def files_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


class TestMinilmInt8(EmbedderContract):
    @pytest.fixture
    def embedder(self) -> Embedder:
        return minilm()


class TestMinilmFp32(EmbedderContract):
    @pytest.fixture
    async def embedder(self, cache: Path) -> AsyncIterator[Embedder]:
        embedder = OnnxEmbedder("embedded://minilm-fp32?threads=1", cache=cache)
        await embedder.open()
        yield embedder
        await embedder.close()

    async def test_it_agrees_with_the_quantised_model_but_is_not_taken_for_it(self, embedder: Embedder) -> None:
        texts = ["The tower was built in 1889.", "Soup is served cold in summer."]
        exact, quantised = await embedder.embed(texts, role="passage"), await minilm().embed(texts, role="passage")
        assert (exact * quantised).sum(axis=1).min() > 0.99
        assert embedder.model != minilm().model

    async def test_the_graph_is_built_once_and_no_part_of_it_is_left(self, embedder: Embedder, cache: Path) -> None:
        [graph] = files_in(cache)
        written = graph.stat().st_mtime_ns
        assert locate("embedded://minilm-fp32", cache=cache).graph == graph
        assert graph.stat().st_mtime_ns == written


@pytest.fixture
def folder(tmp_path: Path, cache: Path) -> Path:
    files = locate("embedded://minilm-int8", cache=cache)
    (tmp_path / "model.onnx").symlink_to(files.graph)
    shutil.copy(files.tokenizer, tmp_path / "tokenizer.json")
    return tmp_path


async def open_folder(folder: Path) -> OnnxEmbedder:
    embedder = OnnxEmbedder(f"embedded://{folder}")
    await embedder.open()
    return embedder


async def test_a_folder_of_ones_own_takes_the_place_of_the_default(folder: Path) -> None:
    embedder = await open_folder(folder)
    mine, default = [await each.embed(["A town."], role="query") for each in (embedder, minilm())]
    assert np.allclose(mine, default, atol=1e-6)
    await embedder.close()
    await embedder.close()
    with pytest.raises(Transient, match="not open"):
        await embedder.embed(["A town."], role="query")


async def test_pooling_prompts_and_length_beside_a_model_are_followed(folder: Path) -> None:
    plain = locate(f"embedded://{folder}", cache=folder).fingerprint()
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "query: "}}))
    files = locate(f"embedded://{folder}", cache=folder)
    assert (files.pooling, files.max_tokens, files.prefixes["query"]) == ("cls", 8, "query: ")
    assert files.fingerprint() != plain
    embedder = await open_folder(folder)
    [asked], [told] = [await embedder.embed(["a town"], role=role) for role in ROLES]
    long, cut = await embedder.embed(["a " * 50, "a " * 20], role="passage")
    assert asked @ told < 0.99
    assert long @ cut > 0.9999
    await embedder.close()


async def test_texts_that_are_cut_are_counted(folder: Path) -> None:
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 8}))
    embedder = await open_folder(folder)
    assert truncated(embedder) == 0
    await embedder.embed(["a " * 50, "a town", "a " * 6, "a " * 7], role="passage")  # two more mark both ends
    assert truncated(embedder) == 2
    await embedder.embed(["a " * 400], role="query")
    assert truncated(embedder) == 3
    await embedder.close()


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json"])
async def test_a_missing_file_is_named(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(Poison, match=missing):
        await open_folder(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", "{}", "is not a tokenizer"),
        ("1_Pooling/config.json", '{"pooling_mode_max_tokens": true}', "only mean and cls"),
        ("sentence_bert_config.json", '{"max_seq_length": "many"}', "wrong configuration"),
        ("sentence_bert_config.json", "{", "cannot be read as JSON"),
    ],
)
async def test_an_unusable_file_is_named_with_what_is_wrong(folder: Path, name: str, content: str, said: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)
    with pytest.raises(Poison, match=said):
        await open_folder(folder)


async def test_a_file_that_is_no_model_is_named(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(Poison, match=r"cannot load .*model\.onnx"):
        await open_folder(folder)


async def test_a_model_for_something_else_is_refused_with_its_inputs(folder: Path) -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("label", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["label"])], "g", [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(Poison, match=r"takes \['pixels'\]"):
        await open_folder(folder)


@pytest.mark.parametrize("url", ["embedded://minilm", "embedded://", "embedded://minilm-int8/extra"])
async def test_an_unknown_model_lists_the_known_ones(url: str) -> None:
    with pytest.raises(Poison, match="minilm-int8, minilm-fp32 and embedded:///absolute/folder"):
        await OnnxEmbedder(url).open()


@pytest.mark.parametrize("threads", ["0", "two", "-1"])
def test_an_impossible_number_of_threads_is_refused(threads: str) -> None:
    with pytest.raises(Poison, match="threads="):
        OnnxEmbedder(f"embedded://minilm-int8?threads={threads}")


async def test_text_that_is_not_unicode_is_poison(folder: Path) -> None:
    with pytest.raises(Poison, match="lone surrogates"):
        await minilm().embed(["half \ud83d a pair"], role="passage")
