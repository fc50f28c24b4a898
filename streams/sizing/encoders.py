"""Embedding and reranking servers: models that read and do not write."""

from math import ceil

from streams.sizing.figures import Figures
from streams.sizing.load import Load
from streams.sizing.models import CARDS, EMBEDDERS, RERANKERS, Model
from streams.sizing.pools import Hardware, PoolSize, known, shape, spread


def embed_pool(load: Load, figures: Figures, hardware: Hardware) -> PoolSize:
    """The passages that arrive and the questions that are asked, in tokens."""
    passage = figures.chunk_bytes / figures.chars_per_token
    tokens_s = load.chunks_s(figures) * passage + load.queries_s * figures.question_tokens
    name = hardware.embedder(load.dimensions)
    said = (
        f"{load.chunks_s(figures):,.1f} chunks/s x {passage:g} + {load.queries_s:g} questions/s x "
        f"{figures.question_tokens:g} = {tokens_s:,.0f} tokens/s"
    )
    return _servers(
        load,
        figures,
        pool="embed",
        name=name,
        model=shape(name, EMBEDDERS, "embedding model"),
        card_name=hardware.embed_card,
        tokens_s=tokens_s,
        text_tokens=passage,
        texts=1,
        said=said,
    )


def rerank_pool(load: Load, figures: Figures, hardware: Hardware) -> PoolSize:
    """Every question beside each of its candidates."""
    pair = figures.question_tokens + figures.chunk_bytes / figures.chars_per_token
    tokens_s = load.queries_s * figures.candidates * pair
    said = f"{load.queries_s:g} questions/s x {figures.candidates:g} candidates x {pair:g} = {tokens_s:,.0f} tokens/s"
    return _servers(
        load,
        figures,
        pool="rerank",
        name=hardware.rerank_model,
        model=shape(hardware.rerank_model, RERANKERS, "reranking model"),
        card_name=hardware.rerank_card,
        tokens_s=tokens_s,
        text_tokens=pair,
        texts=figures.candidates,
        said=said,
    )


def _servers(
    load: Load,
    figures: Figures,
    *,
    pool: str,
    name: str,
    model: Model,
    card_name: str,
    tokens_s: float,
    text_tokens: float,
    texts: float,
    said: str,
) -> PoolSize:
    """Of a model that reads `texts` of so many tokens in one call."""
    card = known(card_name, CARDS, "card")
    flops = model.flops_per_token(text_tokens)
    card_s = card.flops * figures.compute_share / flops
    needed = ceil(tokens_s / (card_s * figures.utilisation))
    fleet = spread(card, needed, 1, load.replicas)
    weights = model.parameters * figures.weight_bytes
    lines = (
        f"load         {said}",
        (
            f"card         {card.flops / 1e12:g} TFLOPS x {figures.compute_share:g} / {flops / 1e9:.3f} GFLOP a token "
            f"= {card_s:,.0f} tokens/s"
        ),
        f"servers      load / (card x {figures.utilisation:g}) = {fleet.arithmetic}",
        (
            f"memory       {model.parameters / 1e6:,.0f} M parameters x {figures.weight_bytes:g} B = "
            f"{weights / 1e9:.2f} GB of {card.memory_bytes / 1e9:g} GB, "
            f"and {figures.activations_bytes / 1e9:g} GB to work in"
        ),
    )
    return PoolSize(
        pool=pool,
        model=name,
        card=card_name,
        servers=fleet.servers,
        cards_per_server=1,
        machine=fleet.machine,
        machines=fleet.machines,
        weight_bytes=weights,
        cache_bytes=0.0,
        memory_bytes=card.memory_bytes,
        latency_s=texts * text_tokens / card_s,
        arithmetic=lines,
    )
