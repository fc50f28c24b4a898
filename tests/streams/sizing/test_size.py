"""What must hold of every sizing, whatever its figures are."""

from dataclasses import replace
from itertools import pairwise
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.index_plan import Expected, layout
from streams import pipelines
from streams.composition import Backends
from streams.settings import Settings
from streams.sizing.figures import Figures
from streams.sizing.kafka import READ_BY
from streams.sizing.load import Load
from streams.sizing.models import CARDS, GENERAL, QUERY_NODES
from streams.sizing.pools import Hardware, spread
from streams.sizing.size import Sizing, size
from streams.topics import TOPICS

M = 1_000_000
USUAL = Load(chunks=10 * M, documents_s=20, queries_s=20, generative=0.5, tenants=50)


def sized(load: Load = USUAL, hardware: Hardware | None = None, **figures: float) -> Sizing:
    return size(load, Figures().replaced(figures), hardware or Hardware())


def counts(sizing: Sizing) -> dict[str, float]:
    """All that costs money."""
    return {
        **{stage.stage: stage.replicas for stage in sizing.stages},
        **{topic.topic: topic.partitions for topic in sizing.kafka.topics},
        **{pool.pool + " cards": pool.machines * CARDS[pool.card].machines[pool.machine] for pool in sizing.pools},
        "brokers": sizing.kafka.brokers,
        "machines": sizing.general.machines,
        "stored": sizing.kafka.stored_bytes,
        "query nodes": sizing.index.nodes,
        "objects": sizing.index.object_bytes,
    }


@pytest.mark.parametrize(
    ("grown", "grows"),
    [
        ({"documents_s": 2_000}, {"chunk", "embed", "upsert", "embed cards", "brokers", "documents", "stored"}),
        ({"queries_s": 2_000}, {"retrieve", "rerank", "generate", "rerank cards", "generate cards", "query nodes"}),
        ({"generative": 1.0, "queries_s": 200}, {"generate", "generate cards"}),
        ({"document_bytes": 400_000}, {"chunk", "embed cards", "stored"}),
        ({"answer_tokens": 500, "queries_s": 200}, {"generate", "generate cards"}),
        ({"replicas": 3}, {"chunk", "rerank cards", "query nodes", "generate cards"}),
    ],
)
def test_more_load_needs_more_where_it_weighs(grown: dict[str, Any], grows: set[str]) -> None:
    before, after = counts(sized()), counts(sized(replace(USUAL, **grown)))
    shrunk = {name for name, number in before.items() if after[name] < number}
    # More text in a document means fewer documents for the same chunks, and so fewer heads.
    assert shrunk <= {"objects"}
    assert {name for name in grows if after[name] <= before[name]} == set()


@settings(max_examples=40, deadline=None)
@given(
    load=st.builds(
        Load,
        chunks=st.integers(1, 10**9),
        documents_s=st.floats(0, 5_000),
        queries_s=st.floats(0, 5_000),
        document_bytes=st.integers(1_000, 10**7),
        dimensions=st.sampled_from([384, 768, 1_024]),
        generative=st.sampled_from([0.0, 0.3, 1.0]),
        target_latency_s=st.floats(0.5, 20),
        replicas=st.integers(1, 4),
        tenants=st.integers(1, 10_000),
    ),
    times=st.floats(1, 100),
    name=st.sampled_from(["documents_s", "queries_s"]),
)
def test_a_higher_rate_never_needs_less_of_anything(load: Load, times: float, name: str) -> None:
    higher: Any = {name: getattr(load, name) * times + 1}
    before, after = counts(sized(load)), counts(sized(replace(load, **higher)))
    assert {part: number for part, number in before.items() if after[part] < number} == {}


def test_more_chunks_of_one_kind_of_index_need_more_nodes_memory_and_storage() -> None:
    sizes = [sized(replace(USUAL, chunks=chunks)).index for chunks in (M, 10 * M, 100 * M)]
    assert [each.kind for each in sizes] == ["HNSW"] * 3
    for smaller, larger in pairwise(sizes):
        assert larger.memory_bytes > smaller.memory_bytes
        assert larger.object_bytes > smaller.object_bytes
        assert larger.nodes >= smaller.nodes
        assert larger.search_core_s >= smaller.search_core_s


@pytest.mark.parametrize("queries_s", [1, 50, 500, 5_000])
@pytest.mark.parametrize("documents_s", [0, 10, 1_000])
def test_replicas_never_exceed_the_partitions_that_they_read(queries_s: float, documents_s: float) -> None:
    found = sized(replace(USUAL, queries_s=queries_s, documents_s=documents_s))
    partitions = {topic.read_by: topic.partitions for topic in found.kafka.topics if topic.read_by}
    for stage in found.stages:
        assert stage.replicas * Figures().partition_headroom <= partitions[stage.stage]


def test_partitions_are_never_fewer_than_those_of_the_table() -> None:
    found = sized(Load(chunks=1, documents_s=0, queries_s=0))
    assert {topic.topic: topic.partitions for topic in found.kafka.topics} == {
        topic.name: topic.partitions for topic in TOPICS if topic.name != "cancellations"
    }
    assert found.warnings == ()


def test_a_topic_that_needs_more_partitions_than_the_table_has_is_named() -> None:
    warnings = sized(replace(USUAL, documents_s=500)).warnings
    assert any("'documents' needs" in warning and "streams/topics.py" in warning for warning in warnings)


def test_the_readers_of_topics_are_those_of_the_wiring() -> None:
    defaults = Settings()
    backends = Backends(defaults)
    stages = (*pipelines.ingest(backends, defaults).stages, *pipelines.query(backends, defaults).stages)
    assert {stage.source.name: stage.name for stage in stages} == READ_BY


def test_one_machine_less_still_bears_the_load() -> None:
    figures = Figures()
    for stage in sized(replace(USUAL, replicas=2, queries_s=300)).stages:
        assert (stage.replicas - 1) * stage.worker_s * figures.utilisation >= stage.load_s
    for pool in sized(replace(USUAL, replicas=3)).pools:
        assert pool.machines >= 3


def test_query_nodes_answer_all_with_a_copy_away() -> None:
    busy = replace(USUAL, queries_s=2_000)
    index = sized(busy).index
    cores = (index.nodes - index.nodes_per_copy) * QUERY_NODES[index.node].cores
    assert index.copies == 2
    assert busy.queries_s * index.search_core_s <= cores * Figures().utilisation


@pytest.mark.parametrize("needed", [0, 1, 3, 4, 5, 40])
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_machines_of_several_servers_may_be_lost_whole(needed: int, replicas: int) -> None:
    fleet = spread(CARDS["H100"], needed, 2, replicas)
    fullest = ceil(fleet.servers / max(1, fleet.machines))
    assert fullest <= 4
    assert fleet.servers - (replicas - 1) * fullest >= needed
    assert fleet.cards == 8 * fleet.machines


def test_a_large_model_has_cards_for_many_answers_and_not_just_for_its_weights() -> None:
    large = Hardware(generate_model="Llama-3.1-70B-Instruct")
    generate = sized(replace(USUAL, queries_s=60, generative=0.9, target_latency_s=12), large).pools[2]
    # On two cards its weights leave room for four answers at a time, and 105 servers would be needed.
    assert (generate.cards_per_server, generate.machines) == (4, 7)


def test_nothing_asked_needs_no_card() -> None:
    embed, rerank, generate = sized(Load(chunks=M, documents_s=0, queries_s=0)).pools
    assert (embed.cards, rerank.cards, generate.cards) == (0, 0, 0)
    assert sized(replace(USUAL, generative=0)).pools[2].cards == 0


def test_a_billion_chunks_do_not_fit_hnsw_and_the_answer_says_what_does() -> None:
    found = sized(Load(chunks=1_000 * M, documents_s=100, queries_s=10, tenants=1_000, dimensions=1_024))
    assert found.index.kind == "DISKANN"
    assert found.index.node_disk_bytes > 4e12
    [hnsw] = [warning for warning in found.warnings if warning.startswith("HNSW would need")]
    assert "6,109 GiB, 113 x r7i.2xlarge" in hnsw
    assert "DISKANN" in hnsw
    assert any("r7i.2xlarge has no NVMe disk" in warning for warning in found.warnings)
    assert any("mmap" in warning for warning in found.warnings)


def test_the_layout_is_the_one_that_index_plan_shows() -> None:
    found = sized(memory := replace(USUAL, chunks=100 * M))
    writers = next(stage.replicas for stage in found.stages if stage.stage == "upsert")
    lines = [line for line in found.index.arithmetic if line.startswith(("vectors", "shards", "partitions"))]
    planned = layout(Expected(rows=memory.chunks, writers=writers, memory_gib=800), memory.dimensions)
    assert (found.index.kind, found.index.shards, found.index.partitions) == (
        planned.index[0],
        planned.shards,
        planned.partitions,
    )
    assert set(lines) <= set(planned.arithmetic)


def test_the_general_machines_hold_the_workers() -> None:
    found, figures = sized(replace(USUAL, queries_s=500, documents_s=500)), Figures()
    cores = sum(stage.replicas * stage.cores for stage in found.stages)
    assert cores < found.general.cores <= found.general.machines * GENERAL.cores * figures.machine_share
    assert found.general.memory_gib <= found.general.machines * GENERAL.memory_gib * figures.machine_share


def test_query_nodes_hold_what_they_are_given() -> None:
    figures, index = Figures(), sized(replace(USUAL, chunks=300 * M)).index
    room = index.nodes_per_copy * QUERY_NODES[index.node].memory_gib * 2**30 * figures.query_node_memory_share
    assert index.memory_bytes <= room
    assert index.copies == 2


def test_query_nodes_have_the_disks_that_diskann_needs() -> None:
    disks = Hardware(query_node="r6id.2xlarge")
    index = sized(Load(chunks=300 * M, documents_s=1, queries_s=1, tenants=100, dimensions=1_024), disks).index
    assert index.kind == "DISKANN"
    assert 0 < index.node_disk_bytes < index.nodes_per_copy * QUERY_NODES["r6id.2xlarge"].nvme_bytes


def test_a_search_of_one_tenant_among_many_reads_less() -> None:
    alone, among = sized(replace(USUAL, tenants=1)).index, sized(replace(USUAL, tenants=1_000)).index
    assert alone.search_core_s > 5 * among.search_core_s


def test_the_languages_model_batch_meets_the_target_and_fits_the_memory() -> None:
    for target_s in (1.5, 3.0, 10.0):
        found = sized(replace(USUAL, target_latency_s=target_s))
        generate = found.pools[2]
        assert found.latency_s <= target_s
        used = generate.weight_bytes + generate.cache_bytes + Figures().activations_bytes
        assert used <= generate.memory_bytes * Figures().memory_share
        assert generate.warnings == ()


def test_a_tighter_target_needs_more_cards() -> None:
    loose, tight = (sized(replace(USUAL, queries_s=200, target_latency_s=each)).pools[2] for each in (10.0, 1.0))
    assert tight.cards > loose.cards


def test_a_target_that_no_machine_meets_is_named_with_what_would_help() -> None:
    slow = sized(replace(USUAL, target_latency_s=0.2)).warnings
    assert any("take a faster card" in warning for warning in slow)


def test_a_model_that_needs_several_cards_gets_them_in_one_machine() -> None:
    generate = sized(hardware=Hardware(generate_model="Llama-3.1-70B-Instruct", generate_card="H100")).pools[2]
    assert generate.cards_per_server in {4, 8}
    assert generate.weight_bytes + generate.cache_bytes < generate.memory_bytes
    with pytest.raises(ValueError, match="choose a larger card"):
        sized(hardware=Hardware(generate_model="Llama-3.1-70B-Instruct", generate_card="L4"), weight_bytes=4)


def test_a_figure_of_ones_own_counts() -> None:
    assert sized(chunk_worker_chunks_s=67).stages[0].replicas > sized().stages[0].replicas
    assert sized(replication=1).kafka.stored_bytes == pytest.approx(sized().kafka.stored_bytes / 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"chunks": 0}, "chunks is 0: give at least 1"),
        ({"queries_s": -1.0}, "queries_s is -1.0"),
        ({"generative": 2.0}, "a share, from 0 to 1"),
        ({"target_latency_s": 0.0}, "target_latency_s is 0.0"),
    ],
)
def test_a_load_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(USUAL, **change)


@pytest.mark.parametrize("values", [{"utilisation": 0.0}, {"utilisation": float("nan")}])
def test_a_figure_that_cannot_be_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="utilisation is"):
        Figures().replaced(values)


def test_an_unknown_figure_model_or_card_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"'no_such'; there are .*utilisation"):
        Figures().replaced({"no_such": 1})
    with pytest.raises(ValueError, match="there are L4, A10G, A100, H100"):
        sized(hardware=Hardware(embed_card="T4"))
    with pytest.raises(ValueError, match=r"no query node is called 'big'; there are r7i\.2xlarge"):
        sized(hardware=Hardware(query_node="big"))
    with pytest.raises(ValueError, match="there are bge-reranker-base"):
        sized(hardware=Hardware(rerank_model="none"))
    with pytest.raises(ValueError, match=r"500 dimensions .* all-MiniLM-L6-v2 \(384\)"):
        sized(replace(USUAL, dimensions=500))
