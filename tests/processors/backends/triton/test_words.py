"""What a Triton's words and shapes mean, without a server."""

import numpy as np
import pytest

from processors.backends.http import Misdeployed
from processors.backends.triton.errors import ModelFailed, meaning
from processors.backends.triton.generator import TritonGenerator
from processors.backends.triton.models import TritonEmbedder, TritonReranker
from processors.backends.triton.texts import number_output, rows, text_inputs
from processors.backends.triton.url import TritonUrl
from processors.errors import Poison, Transient
from tests.processors.backends.triton.test_dialects import published, served

PLAIN = TritonUrl.parse("triton+grpc://models:8001/m", setting="embedder")[0]
SECURE = TritonUrl.parse("triton+grpcs://models:8001/m", setting="embedder")[0]


@pytest.mark.parametrize(
    ("status", "said", "code", "remedy"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; Connection refused", None, "is the server running"),
        ("UNAVAILABLE", "Request for unknown model: 'm' has no available versions", "model-not-ready", "load"),
        ("NOT_FOUND", "Request for unknown model: 'm' is not found", "model-not-ready", "load"),
        ("UNAVAILABLE", "Exceeds maximum queue size", None, "too much to do"),
        ("RESOURCE_EXHAUSTED", "", None, "too much to do"),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", None, "in time"),
        ("UNAUTHENTICATED", "token expired", "unauthorized", "embedder_key"),
        ("PERMISSION_DENIED", "RBAC: access denied", "unauthorized", "embedder_key"),
        ("UNAVAILABLE", "This protocol is restricted, expecting header 'x-key'", "unauthorized", "token_header=x-key"),
        ("UNAVAILABLE", "explicit model load / unload is not allowed", "model-control", "remove load=true"),
        ("UNIMPLEMENTED", "Method not found!", "bad-url", "no Triton"),
        ("UNAVAILABLE", "Failed parsing HTTP/2 (Expected SETTINGS frame as the first frame)", "bad-url", "no Triton"),
        ("UNAVAILABLE", "Failed parsing HTTP/2 (Expected ...) (HTTP status 503)", None, "is the server running"),
        ("CANCELLED", "CANCELLED", None, "server's log"),
        ("INTERNAL", "in ensemble 'm', out of memory", "model-failed", "server's log"),
        ("INVALID_ARGUMENT", "unexpected shape for input 'text'", "model-failed", "server's log"),
        (None, "Error generating stream: CUDA error", "model-failed", "server's log"),
    ],
)
def test_each_status_names_the_server_and_the_remedy(
    status: str | None, said: str, code: str | None, remedy: str
) -> None:
    error = meaning(PLAIN, f"StatusCode.{status}" if status else None, said)
    assert error.reason.startswith("triton+grpc://models:8001/m")
    assert remedy in error.reason
    assert (error.code if isinstance(error, Misdeployed) else None) == code
    assert (error.retry_after_s is not None) == (remedy == "too much to do")  # busy is not broken


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: unable to get local issuer certificate", "ca_file"),
        ("Peer name models is not in peer certificate", "for another name"),
        ("Ssl handshake failed: WRONG_VERSION_NUMBER: Invalid certificate", "triton+grpc://"),
    ],
)
def test_a_failed_handshake_is_told_from_an_outage(said: str, remedy: str) -> None:
    error = meaning(SECURE, "StatusCode.UNAVAILABLE", f"failed to connect to all addresses; {said}")
    assert isinstance(error, Misdeployed)
    assert error.code == "tls"
    assert remedy in error.reason


@pytest.mark.parametrize(
    ("said", "too_long"),
    [
        ("The prompt (total length 6001) is too long to fit into the model (context length 4096)", True),
        ("The decoder prompt (length 5005) is longer than the maximum model length of 4096", True),
        ("Prompt length (5000) exceeds maximum input length (2048)", True),
        ("prompt length (40) plus max_num_tokens (5000) exceeds the max_seq_len (4096)", True),
        ("This model's maximum context length is 16 tokens", True),
        ("CUDA out of memory", False),
        ("the engine is dead", False),
    ],
)
def test_a_prompt_over_the_context_is_known_by_the_words_of_its_engine(said: str, too_long: bool) -> None:
    error = meaning(PLAIN, None, said)
    assert isinstance(error, ModelFailed)
    assert error.too_long == too_long


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("triton+grpc://models:8001", "host, port or model is missing"),
        ("triton+grpc://models/m", "host, port or model is missing"),
        ("triton+grpc://models:x/m", "write triton+grpc://host:port/model"),
        ("triton+grpc://models:8001/m/v1", "host, port or model"),
        ("triton+grpc://user:key@models:8001/m", "embedder_key, not into the URL"),
        ("triton+grpc://models:8001/m?loda=true", "no option 'loda'; known: load, token_header, query_prefix"),
        ("triton+grpc://models:8001/m?load=yes", "neither true nor false"),
        ("triton+grpc://models:8001/m?token_header=a%20b", "no name of a header"),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url: str, said: str) -> None:
    with pytest.raises(Poison, match="bad-url") as refused:
        TritonEmbedder(url)
    assert said in refused.value.detail
    assert "user" not in refused.value.detail


@pytest.mark.parametrize("options", ["max_tokens=0", "evidence_bytes=much", "template=alpaca"])
def test_a_generator_s_options_are_checked_at_once(options: str) -> None:
    with pytest.raises(Poison, match="bad-url"):
        TritonGenerator(f"triton+grpc://models:8001/m?{options}")


@pytest.mark.parametrize("key", ["line\nend", "acc\u00e9nt"])
def test_a_key_that_no_header_carries_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(Poison, match="bad-key") as refused:
        TritonReranker("triton+grpc://models:8001/m", key=key)
    assert key not in str(refused.value)


@pytest.mark.parametrize(("header", "sent"), [("", {"authorization": "Bearer k"}), ("X-Key", {"x-key": "k"})])
def test_the_key_travels_in_the_header_that_is_wanted(header: str, sent: dict[str, str]) -> None:
    url, _ = TritonUrl.parse(f"triton+grpc://models:8001/m?token_header={header}", setting="embedder")
    assert url.headers("k") == sent


TEXT = '{ name: "text" data_type: TYPE_STRING dims: [ %s ] }'


@pytest.mark.parametrize(
    ("batches", "dims", "most", "shape"),
    [(32, "1", 32, (2, 1)), (1024, "1", 64, (2, 1)), (0, "-1", 64, (2,)), (0, "-1, 1", 64, (2, 1)), (0, "1", 1, (2,))],
)
def test_texts_are_laid_out_as_the_model_batches(batches: int, dims: str, most: int, shape: tuple[int, ...]) -> None:
    [text] = text_inputs(served(f"max_batch_size: {batches} input [{TEXT % dims}]"), 1)
    assert (text.most, text.column(["a", "b"]).shape) == (most, shape)


def test_the_question_goes_into_the_input_that_is_named_so() -> None:
    assert [text.name for text in text_inputs(published("rerank"), 2)] == ["query", "text"]
    assert [text.name for text in text_inputs(published("logits"), 2)] == ["QUESTION", "PASSAGE"]


def test_of_several_outputs_the_one_with_a_known_name_is_taken() -> None:
    tensors = '{ name: "norms" data_type: TYPE_FP32 dims: [1] }, { name: "Embedding" data_type: TYPE_FP32 dims: [4] }'
    assert number_output(served(f"max_batch_size: 8 output [{tensors}]"), ("embedding",)) == "Embedding"
    with pytest.raises(Poison, match="model-unusable"):
        number_output(served(f"max_batch_size: 8 output [{tensors}]"), ("score",))


def test_states_of_every_token_are_no_vector() -> None:
    states = '{ name: "last_hidden_state" data_type: TYPE_FP32 dims: [-1, 384] }'
    with pytest.raises(Poison, match="gives one output of FP32"):
        number_output(served(f"max_batch_size: 8 output [{states}]"), ("embedding",))


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 3)])
def test_a_row_for_each_text_is_taken_in_any_form(shape: tuple[int, ...]) -> None:
    assert rows(PLAIN, {"v": np.ones(shape, np.float32)}, "v", 2, width=3).shape == (2, 3)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((3, 3), "f4"), ((6,), "f4"), ((2, 4), "f4"), ((2, 2, 3), "f4"), ((2, 0), "f4"), ((2, 3), "f8"), ((2, 3), "i4")],
)
def test_any_other_shape_or_type_is_the_deployment_s_fault(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(Misdeployed, match="models:8001/m gave"):
        rows(PLAIN, {"v": np.ones(shape, dtype)}, "v", 2, width=3)
    with pytest.raises(Transient, match="gave nothing"):
        rows(PLAIN, {}, "v", 2, width=3)
