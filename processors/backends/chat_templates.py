"""A chat as the one text that a server takes which applies no template by itself."""

from collections.abc import Mapping, Sequence

Messages = Sequence[Mapping[str, str]]


def _plain(messages: Messages) -> str:
    return "\n\n".join(message["content"] for message in messages) + "\nAnswer:"


def _chatml(messages: Messages) -> str:
    turns = [f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages]
    return "".join(turns) + "<|im_start|>assistant\n"


def _llama3(messages: Messages) -> str:
    head = "<|start_header_id|>{}<|end_header_id|>\n\n"
    turns = [f"{head.format(message['role'])}{message['content']}<|eot_id|>" for message in messages]
    return "".join(turns) + head.format("assistant")


TEMPLATES = {"plain": _plain, "chatml": _chatml, "llama3": _llama3}
"""By the names that a URL's `template=` takes: none, Qwen and SmolLM2, Llama 3."""
