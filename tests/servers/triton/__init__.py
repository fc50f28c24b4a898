"""The real Triton Inference Server with models that really embed, rerank and generate."""
