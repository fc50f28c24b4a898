"""Triton Inference Server behind the Embedder, the Reranker and the Generator."""
