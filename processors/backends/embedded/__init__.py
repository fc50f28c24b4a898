"""Models in this process behind the Embedder, the Reranker and the extractive Generator."""
