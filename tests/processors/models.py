"""The default embedding model, loaded once per run, and evidence to try it on."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from processors.backends.embedded.onnx import OnnxEmbedder
from processors.conformance.evidence import REFUNDS, SOUP, TOWER, evidence, passage

__all__ = ["REFUNDS", "SOUP", "TOWER", "evidence", "minilm", "passage"]


@cache
def minilm() -> OnnxEmbedder:
    embedder = OnnxEmbedder("embedded://minilm-int8")
    # In a thread, because the caller may be inside a loop already.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, embedder.open()).result()
    return embedder
