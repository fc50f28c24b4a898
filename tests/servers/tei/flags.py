"""The command line: TEI's own flags, and what makes trouble on purpose."""

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Model = Literal["minilm", "minilm-prompts", "minilm-reranker", "minilm-classifier", "minilm-sparse"]
Weights = Literal["int8", "fp32"]
Pooling = Literal["mean", "cls"]
Output = Literal["zeros", "nan", "steep"]

MAX_BATCH_REQUESTS = 8
"""What TEI's onnxruntime backend computes at once, whatever the flag says."""
PROMPTS = {"query": "query: ", "passage": "passage: "}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """How one server behaves. Limits count texts unless their name says otherwise."""

    port: int = 0
    model: Model = "minilm"
    weights: Weights = "int8"
    threads: int = 0
    """For one batch; 0 is every core that this process may use."""
    model_id: str
    served_model_name: str
    sha: str | None = None
    pooling: Pooling = "mean"
    default_prompt_name: str | None = None
    auto_truncate: bool = True
    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    max_batch_tokens: int = 16384
    payload_limit: int = 2_000_000
    """In bytes."""
    api_key: str | None = None
    slow_factor: float = 1.0
    """How many times longer each batch takes; /stand-in/slow-factor changes it."""
    fail_text: str | None = None
    """A batch with this in one of its texts fails."""
    output: Output | None = None
    """What the model gives in place of its output: zeros, not-a-number, or logits that overflow a softmax."""
    parent: bool = False
    """End when standard input does."""

    @property
    def prompts(self) -> dict[str, str]:
        return PROMPTS if self.model == "minilm-prompts" else {}

    @property
    def max_input_length(self) -> int:
        """In tokens: of the sentence model as trained, of the pair models as far as positions go."""
        pairs = self.model in ("minilm-reranker", "minilm-classifier")
        return min(512 if pairs else 256, self.max_batch_tokens)


def parse(arguments: Sequence[str]) -> Flags:
    parser = argparse.ArgumentParser("python -m tests.servers.tei", allow_abbrev=False)
    add = parser.add_argument
    add("--port", type=int, default=0, help="0 takes a free one; the first line of output names it")
    add("--model", choices=get_args(Model), default="minilm")
    add("--weights", choices=get_args(Weights), default="int8")
    add("--threads", type=int, default=0)
    add("--model-id")
    add("--served-model-name")
    add("--sha")
    add("--pooling", choices=get_args(Pooling), default="mean")
    add("--default-prompt-name")
    add("--auto-truncate", type=_boolean, default=True)
    add("--max-concurrent-requests", type=int, default=512)
    add("--max-client-batch-size", type=int, default=32)
    add("--max-batch-tokens", type=int, default=16384)
    add("--max-batch-requests", type=int, help="accepted and overruled, as by TEI with onnxruntime")
    add("--payload-limit", type=int, default=2_000_000)
    add("--api-key")
    add("--slow-factor", type=_factor, default=1.0)
    add("--fail-text")
    add("--output", choices=get_args(Output))
    add("--parent", action="store_true")
    given = vars(parser.parse_args(arguments))
    del given["max_batch_requests"]
    given["model_id"] = given["model_id"] or given["model"]
    given["served_model_name"] = given["served_model_name"] or given["model_id"]
    given["threads"] = given["threads"] or len(os.sched_getaffinity(0))
    flags = Flags(**given)
    if flags.default_prompt_name is not None and flags.default_prompt_name not in flags.prompts:
        parser.error(f"--default-prompt-name {flags.default_prompt_name!r}: known are {sorted(flags.prompts)}")
    return flags


def _boolean(given: str) -> bool:
    if given not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{given!r} is neither true nor false")
    return given == "true"


def _factor(given: str) -> float:
    factor = float(given)
    if not (1 <= factor < math.inf):
        raise argparse.ArgumentTypeError(f"{given!r} must be 1 or more")
    return factor
