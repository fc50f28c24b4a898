"""The arithmetic of an index, with figures."""

import pytest

from processors.index_plan import Change, Expected, layout

M = 1_000_000


@pytest.mark.parametrize(
    ("rows", "dimensions", "memory_gib", "kind"),
    [
        (20_000, 384, 16, "FLAT"),
        (20_001, 384, 16, "HNSW"),
        (10 * M, 1024, 64, "HNSW"),  # 39.4 GiB beside 21.4 GiB of text
        (10 * M, 1024, 60, "IVF_SQ8"),  # 0.8 GiB too little for the links
        (10 * M, 1024, 30, "DISKANN"),  # 8.6 GiB beside the text, where IVF_SQ8 takes 9.5
    ],
)
def test_the_index_is_the_best_that_fits_the_memory(rows: int, dimensions: int, memory_gib: float, kind: str) -> None:
    chosen = layout(Expected(rows=rows, memory_gib=memory_gib), dimensions)
    assert chosen.index[:2] == (kind, "COSINE")
    [line] = [line for line in chosen.arithmetic if "chosen" in line]
    assert line.startswith(kind)


def test_each_step_of_the_arithmetic_is_a_line() -> None:
    lines = layout(Expected(rows=10 * M, writers=8, memory_gib=64), 1024).arithmetic
    assert "10,000,000 rows x 1024 dimensions x 4 B = 38.15 GiB" in lines[0]
    assert "10,000,000 rows x (1,500 + 800) B = 21.42 GiB" in lines[1]
    assert "64 GiB of the query nodes - 21.42 GiB = 42.58 GiB" in lines[2]
    assert "10,000,000 x (2 x M=16 x 4 + 4) B of links = 39.38 GiB: chosen" in lines[3]
    assert "56.0 GB / 100 GB = 1; 8 writers x 4,000 rows/s x 5,596 B = 179 MB/s / 500 MB/s = 1" in lines[4]
    assert "56.0 GB / 1 shards / 1 GiB a segment = 52.1" in lines[5]
    assert len(lines) == 6


def test_what_does_not_fit_at_all_warns() -> None:
    lines = layout(Expected(rows=200 * M, memory_gib=512), 768).arithmetic
    [warning] = [line for line in lines if line.startswith("WARNING")]
    assert "DISKANN needs 557.15 GiB of the 512 GiB" in warning


@pytest.mark.parametrize(
    ("rows", "writers", "shards"),
    [
        (100_000, 1, 1),
        (100_000, 30, 2),  # 30 x 4,000 x 4,572 B = 549 MB/s
        (50 * M, 1, 3),  # 229 GB
        (1_000 * M, 1, 16),  # 4,572 GB, but no more than a server allows
    ],
)
def test_shards_follow_the_volume_and_the_rate_of_writing(rows: int, writers: int, shards: int) -> None:
    assert layout(Expected(rows=rows, writers=writers), 768).shards == shards


@pytest.mark.parametrize(
    ("rows", "partitions"),
    [(100_000, 16), (10 * M, 32), (20 * M, 64), (50 * M, 64), (1_000 * M, 16)],
)
def test_partitions_hold_a_segment_in_each_shard_and_are_not_too_many(rows: int, partitions: int) -> None:
    found = layout(Expected(rows=rows), 768)
    assert found.partitions == partitions
    assert found.partitions * found.shards <= 256


def test_a_change_reads_as_a_sentence() -> None:
    assert str(Change("docs", "shards", "1", "2", "rebuild")) == "docs: shards is 1, should be 2"
    assert str(Change("docs", "create", "", "docs_v1", "apply")) == "docs: create docs_v1"


@pytest.mark.parametrize("expected", [{"rows": 0}, {"writers": 0}, {"memory_gib": -1.0}])
def test_what_cannot_be_expected_is_refused(expected: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Expected(**expected)
