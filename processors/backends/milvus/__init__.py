"""Milvus behind the Index port."""
