"""Dialects known by their metadata, and answers put together, on the messages that servers really send."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from google.protobuf import text_format
from tritonclient.grpc import InferResult, service_pb2
from tritonclient.grpc.model_config_pb2 import DataType, ModelConfig
from tritonclient.utils import serialize_byte_tensor

from processors.backends.triton.chat_templates import TEMPLATES, Until
from processors.backends.triton.dialects import Reading, recognise, strange
from processors.backends.triton.generator import stop_inputs
from processors.backends.triton.served import Served
from processors.errors import Poison
from tests.processors.models import evidence
from tests.servers.triton import launcher

BLS = """
backend: "python" max_batch_size: 64 model_transaction_policy { decoupled: true }
input [
  { name: "text_input" data_type: TYPE_STRING dims: [ 1 ] },
  { name: "max_tokens" data_type: TYPE_INT32 dims: [ 1 ] },
  { name: "stream" data_type: TYPE_BOOL dims: [ 1 ] optional: true }
]
output [{ name: "text_output" data_type: TYPE_STRING dims: [ -1 ] }]
"""
ACCUMULATES = 'parameters { key: "accumulate_tokens" value { string_value: "true" } }'


def served(configuration: str) -> Served:
    """What a server tells about a model with this `config.pbtxt`."""
    config = text_format.Parse(configuration, ModelConfig())
    metadata = service_pb2.ModelMetadataResponse(
        name="m", versions=["1", "10", "9"], platform=config.platform or config.backend
    )
    batch = [-1] if config.max_batch_size else []
    for told, declared in ((metadata.inputs, config.input), (metadata.outputs, config.output)):
        for each in declared:
            name = DataType.Name(each.data_type).removeprefix("TYPE_").replace("STRING", "BYTES")
            told.add(name=each.name, datatype=name, shape=[*batch, *each.dims])
    return Served.of(metadata, config)


def published(model: str) -> Served:
    return served(Path(launcher.MODELS, f"{model}.pbtxt").read_text().replace("$llama", "x"))


def response(text: bytes | None, **counts: int) -> Mapping[str, Any]:
    """One message of a stream, as the client reads it."""
    message = service_pb2.ModelInferResponse(model_name="m")
    if text is not None:
        message.outputs.add(name="text_output", datatype="BYTES", shape=[1])
        message.raw_output_contents.append(serialize_byte_tensor(np.array([text], object)).item())
    for name, count in counts.items():
        message.outputs.add(name=name, datatype="UINT32", shape=[1])
        message.raw_output_contents.append(np.array([count], np.uint32).tobytes())
    result = InferResult(message)
    found = {name: result.as_numpy(name) for name in ("text_output", "num_input_tokens", "num_output_tokens")}
    return {name: array for name, array in found.items() if array is not None}


def read(cumulative: bool, *texts: bytes | None) -> list[str]:
    reading = Reading(cumulative)
    return [*(reading.feed(response(text)) for text in texts), reading.end()]


@pytest.mark.parametrize(
    ("model", "dialect", "cumulative"),
    [
        ("vllm", "vllm", False),
        ("ensemble", "tensorrt-llm", False),
        ("llmapi", "llmapi", True),
        ("llmapi_whole", "llmapi", True),
    ],
)
def test_each_dialect_is_known_by_what_its_model_takes(model: str, dialect: str, cumulative: bool) -> None:
    speaker = recognise(published(model))
    assert (speaker.dialect.name, speaker.cumulative) == (dialect, cumulative)


@pytest.mark.parametrize(("further", "cumulative"), [("", False), (ACCUMULATES, True)])
def test_a_bls_model_is_asked_like_an_ensemble_and_may_send_all_so_far(further: str, cumulative: bool) -> None:
    speaker = recognise(served(BLS + further))
    assert (speaker.dialect.name, speaker.cumulative) == ("tensorrt-llm", cumulative)


def test_vllm_is_asked_for_new_text_without_the_prompt() -> None:
    inputs = recognise(published("vllm")).inputs("Why?", max_tokens=7)
    assert inputs["text_input"].tolist() == [b"Why?"]
    assert (inputs["stream"].tolist(), inputs["exclude_input_in_output"].tolist()) == ([True], [True])
    [parameters] = inputs["sampling_parameters"]
    assert orjson.loads(parameters) == {"max_tokens": 7, "temperature": 0}


def test_a_model_that_batches_gets_a_batch_of_one() -> None:
    inputs = recognise(published("ensemble")).inputs("Why?", max_tokens=7)
    assert inputs["text_input"].tolist() == [[b"Why?"]]
    assert inputs["max_tokens"].tolist() == [[7]]
    assert inputs["max_tokens"].dtype == np.int32
    assert inputs["top_k"].tolist() == [[1]]


@pytest.mark.parametrize(("model", "streams"), [("llmapi", True), ("llmapi_whole", False)])
def test_a_model_that_is_not_decoupled_is_not_asked_to_stream(model: str, streams: bool) -> None:
    inputs = recognise(published(model)).inputs("Why?", max_tokens=7)
    assert inputs["streaming"].tolist() == [streams]
    assert inputs["sampling_param_max_tokens"].tolist() == [7]


def test_inputs_that_a_model_does_not_declare_are_left_out() -> None:
    assert set(recognise(served(BLS)).inputs("Why?", max_tokens=7)) == {"text_input", "max_tokens", "stream"}


@pytest.mark.parametrize("model", ["embedding", "preprocessing", "tensorrt_llm"])
def test_a_model_of_no_dialect_is_refused_with_what_it_takes(model: str) -> None:
    with pytest.raises(Poison, match=r"'m' takes \(.*Headwater speaks: vllm by exclude_input_in_output"):
        recognise(published(model))


def test_an_input_that_only_the_operator_knows_is_refused_by_name() -> None:
    adapter = '{ name: "lora" data_type: TYPE_STRING dims: [ 1 ] },'
    with pytest.raises(Poison, match=r"requires lora.*make them optional"):
        recognise(served(BLS.replace("input [", f"input [ {adapter}", 1)))


def test_the_newest_version_is_the_highest_number() -> None:
    assert published("vllm").version == "10"


def test_an_ensemble_s_generating_step_is_told_to_stop_with_what_it_requires() -> None:
    assert published("ensemble").steps == ("preprocessing", "tensorrt_llm", "postprocessing")
    inputs = stop_inputs(published("tensorrt_llm"))
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "input_lengths": [[0]],
        "request_output_len": [[0]],
        "stop": [[True]],
    }


def test_new_text_is_passed_on_and_all_so_far_is_cut() -> None:
    assert read(False, b"In ", b"1889.") == ["In ", "1889.", ""]
    assert read(True, b"In ", b"In 1889.", b"In 1889.") == ["In ", "1889.", "", ""]


def test_a_response_without_a_text_says_nothing() -> None:
    assert read(False, None, b"", b"x", None) == ["", "", "x", "", ""]
    assert read(True, None, b"x", None) == ["", "x", "", ""]


def test_what_is_neither_a_text_nor_a_count_is_told() -> None:
    assert strange(response(b"x", num_output_tokens=1)) == strange(response(None)) == ""
    assert strange({"text_output": np.array([1.5])}) == "'text_output' as float64 of shape [1]"
    assert strange({"text_output": np.array([b"a", b"b"], object)}) == "'text_output' as object of shape [2]"
    assert strange({"num_output_tokens": np.array([np.nan])}) == "'num_output_tokens' as float64 of shape [1]"


def test_a_character_is_held_until_it_is_whole() -> None:
    euro = "€".encode()
    assert read(False, b"7 " + euro[:1], euro[1:] + b".") == ["7 ", "€.", ""]
    assert read(True, b"7 " + euro[:2], b"7 " + euro) == ["7 ", "€", ""]
    assert read(False, euro[:2]) == ["", "\ufffd"]


def test_tokens_are_counted_once_for_the_prompt_and_summed_for_the_answer() -> None:
    reading = Reading(cumulative=False)
    for count in (1, 2, 0):
        reading.feed(response(b"x", num_input_tokens=17, num_output_tokens=count))
    reading.feed(response(None))
    assert (reading.usage.prompt_tokens, reading.usage.completion_tokens) == (17, 3)


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [
        (["no stop"], "no stop"),
        (["ab", "c\n", "\nd", "e"], "abc"),
        (["a\n", "b\n"], "a\nb\n"),
        (["a<pas", "sive>"], "a<passive>"),
        (["a<pas", "sage 2"], "a"),
        (["\n\nnothing"], ""),
    ],
)
def test_text_passes_up_to_the_words_that_end_it(pieces: list[str], passed: str) -> None:
    until = Until(("\n\n", "<passage"))
    assert "".join(map(until.feed, pieces)) + until.end() == passed


@pytest.mark.parametrize(
    ("name", "begins", "ends"),
    [
        ("plain", "Answer the question", "When?\nAnswer:"),
        ("chatml", "<|im_start|>system\nAnswer", "When?<|im_end|>\n<|im_start|>assistant\n"),
        (
            "llama3",
            "<|start_header_id|>system<|end_header_id|>\n\nAnswer",
            "When?<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ],
)
def test_a_prompt_ends_where_the_answer_begins(name: str, begins: str, ends: str) -> None:
    prompt = TEMPLATES[name].render("When?", evidence(), evidence_bytes=1_000)
    assert prompt.startswith(begins)
    assert prompt.endswith(ends)
    assert "Gustave Eiffel" in prompt
