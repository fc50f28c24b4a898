"""Text Embeddings Inference behind the Embedder, the Reranker and the SparseEncoder."""
