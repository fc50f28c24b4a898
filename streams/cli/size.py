"""`headwater size`: what a load needs, with the arithmetic."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.problems import USAGE, CommandError


def size(
    *,
    chunks: Annotated[int, typer.Option(min=1, help="Live chunks of all tenants.")],
    documents_s: Annotated[float, typer.Option("--documents-per-s", min=0, help="Published at the busiest.")],
    queries_s: Annotated[float, typer.Option("--queries-per-s", min=0, help="Asked at the busiest.")],
    document_bytes: Annotated[int, typer.Option(min=1, help="Of text, in the mean document.")] = 20_000,
    dimensions: Annotated[int, typer.Option(min=1, help="Of the vectors.")] = 384,
    generative: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the questions that a language model answers.")
    ] = 0.0,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Of a generated answer.")] = 128,
    target_latency_s: Annotated[
        float, typer.Option("--target-latency-s", min=0.001, help="From a question to its generated answer's end.")
    ] = 5.0,
    replicas: Annotated[int, typer.Option(min=1, help="Of everything; one fewer still bears the load.")] = 2,
    tenants: Annotated[int, typer.Option(min=1, help="Of similar size; a search reads one tenant's partition.")] = 1,
    embed_model: Annotated[
        str, typer.Option(help="Or its config.json; default: the smallest known of these dimensions.")
    ] = "",
    rerank_model: Annotated[str, typer.Option(help="A cross-encoder, or its config.json.")] = "bge-reranker-base",
    generate_model: Annotated[str, typer.Option(help="Or its config.json.")] = "Qwen2.5-7B-Instruct",
    embed_card: Annotated[str, typer.Option(help="L4, A10G, A100 or H100.")] = "L4",
    rerank_card: Annotated[str, typer.Option(help="The same.")] = "L4",
    generate_card: Annotated[str, typer.Option(help="The same.")] = "H100",
    query_node: Annotated[str, typer.Option(help="Machine of Milvus' query nodes; r6id has NVMe.")] = "r7i.2xlarge",
    figures: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=NUMBER", help="A figure of your own; docs/sizing.md lists them."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="What things cost, as infra/terraform/prices.json; none: no cost is computed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with every figure and its source.")] = False,
) -> None:
    """Compute what a load needs: partitions, replicas, Milvus, GPUs and Kafka, and what that costs."""
    from streams.sizing.cost import bill
    from streams.sizing.figures import Figures
    from streams.sizing.load import Load
    from streams.sizing.pools import Hardware
    from streams.sizing.prices import Prices
    from streams.sizing.report import explained, record
    from streams.sizing.size import size as sized

    try:
        load = Load(
            chunks=chunks,
            documents_s=documents_s,
            queries_s=queries_s,
            document_bytes=document_bytes,
            dimensions=dimensions,
            generative=generative,
            answer_tokens=answer_tokens,
            target_latency_s=target_latency_s,
            replicas=replicas,
            tenants=tenants,
        )
        hardware = Hardware(
            embed_model=embed_model,
            rerank_model=rerank_model,
            generate_model=generate_model,
            embed_card=embed_card,
            rerank_card=rerank_card,
            generate_card=generate_card,
            query_node=query_node,
        )
        assumed = Figures().replaced(_numbers(figures or []))
        sizing = sized(load, assumed, hardware)
        billed = bill(sizing, assumed, Prices.read(prices)) if prices else None
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    if as_json:
        typer.echo(json.dumps(record(sizing, assumed, billed), indent=2))
    else:
        typer.echo("\n".join(explained(sizing, billed)))


def _numbers(given: Sequence[str]) -> dict[str, float]:
    numbers = {}
    for pair in given:
        name, _, value = pair.partition("=")
        try:
            numbers[name] = float(value)
        except ValueError:
            raise CommandError(f"--set {pair!r} is not NAME=NUMBER, for example utilisation=0.6", USAGE) from None
    return numbers
