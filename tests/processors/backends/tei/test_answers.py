"""What TEI's ports make of answers that are none: nulls, wrong shapes, and whose fault they are."""

import pytest

from processors.errors import Poison, Transient
from tests.processors.backends.tei.scripted import KINDS, failed, opened, serving
from tests.servers.faults import Reply, answer


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([[0.6, None]], "null"),
        ([[None, None]], "null"),
        ([[0.0, 0.0]], "of zeros"),
    ],
)
async def test_what_is_no_vector_is_an_outage_where_every_text_gets_it(found: object, says: str) -> None:
    kind = KINDS["embedder"]
    async with serving(kind, answer(found)) as server, opened(kind, server.url) as port:
        with pytest.raises(Transient, match=f"fails for every text .*{says}"):
            await kind.ask(port)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (answer([[None, None]]), "null"),
        (failed("Backend", "indices out of bounds"), "indices out of bounds"),
    ],
)
async def test_what_only_one_text_gets_every_time_is_that_text_s_fault(bad: Reply, says: str) -> None:
    kind = KINDS["embedder"]
    fine = answer(kind.good)
    # The request, then three times alone, each followed by a text that nothing is wrong with.
    async with serving(kind, bad, bad, fine, bad, fine, bad, fine) as server, opened(kind, server.url) as port:
        with pytest.raises(Poison, match=f"text 0 of 1.*{server.url}.*{says}.*leave it out") as raised:
            await kind.ask(port)
    assert raised.value.code == "model-failed"


async def test_a_text_that_failed_beside_others_and_works_alone_gets_its_vector() -> None:
    kind = KINDS["embedder"]
    bad, fine = failed("Backend", "a neighbour's fault"), answer(kind.good)
    async with serving(kind, bad, bad, fine, fine) as server, opened(kind, server.url) as port:
        await kind.ask(port)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([[0.6, 0.8, 0.0]], "1 vectors of 2 dimensions"),
        ([[0.6], [0.8]], "1 vectors of 2 dimensions"),
        ([[0.6, 0.8], [0.6]], "1 vectors of 2 dimensions"),
        ([[3.0, 4.0]], "not normalised"),
        ([["six", "eight"]], "1 vectors of 2 dimensions"),
        ([[{}, 0.8]], "1 vectors of 2 dimensions"),
    ],
)
async def test_vectors_are_checked_one_by_one(found: object, says: str) -> None:
    kind = KINDS["embedder"]
    async with serving(kind, answer(found)) as server, opened(kind, server.url) as port:
        with pytest.raises(Transient, match=f"{server.url} answers 200, but .*{says}.*correct embedder"):
            await kind.ask(port)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([{"index": 0, "score": None}], "fails for every text"),
        ([{"index": 0, "score": "0.5"}], "no number"),
        ([{"index": 0, "score": [0.5]}], "no number"),
        ([{"index": 0, "score": -3.5}], r"beyond \[0, 1\]"),
        ([{"index": 1, "score": 0.5}], "other than 1 scores"),
        ([{"index": 0, "score": 0.5}, {"index": 0, "score": 0.5}], "other than 1 scores"),
        ([{"score": 0.5}], "other than 1 scores"),
    ],
)
async def test_scores_are_checked_one_by_one(found: object, says: str) -> None:
    kind = KINDS["reranker"]
    async with serving(kind, answer(found)) as server, opened(kind, server.url) as port:
        with pytest.raises(Transient, match=says):
            await kind.ask(port)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([[{"index": 7, "value": None}]], "fails for every text"),
        ([[{"index": 7, "value": "0.5"}]], "no number"),
        ([[{"index": 7, "value": {}}]], "no number"),
        ([[{"index": 7}]], "the terms of 1 texts"),
        ([[[7, 0.5]]], "the terms of 1 texts"),
    ],
)
async def test_term_weights_are_checked_one_by_one(found: object, says: str) -> None:
    kind = KINDS["sparse"]
    async with serving(kind, answer(found)) as server, opened(kind, server.url) as port:
        with pytest.raises(Transient, match=says):
            await kind.ask(port)


LONG = failed("Validation", "Input validation error: `inputs` must have less than 256 tokens. Given: 300", 422)


async def test_a_server_that_refuses_what_it_was_told_to_cut_is_an_outage() -> None:
    kind = KINDS["embedder"]
    async with serving(kind, LONG) as server, opened(kind, server.url) as port:
        server.on("/tokenize", answer([[0] * 300]))
        with pytest.raises(Transient, match=f"{server.url} refuses a text that it was told to cut .*256 tokens"):
            await kind.ask(port)


@pytest.mark.parametrize("counting", [LONG, failed("Tokenizer", "no", 422), answer("too large", 413, "text/plain")])
async def test_a_text_whose_tokens_cannot_be_counted_is_tried_whole_and_then_cut(counting: Reply) -> None:
    kind = KINDS["embedder"]
    async with serving(kind, LONG, LONG, answer(kind.good)) as server, opened(kind, server.url) as port:
        server.on("/tokenize", counting)
        await kind.ask(port)
        assert port.truncated == 1
        assert [request.json()["truncate"] for request in server.requests if request.path == "/embed"][-1] is True


async def test_token_counts_of_another_shape_are_an_outage() -> None:
    kind = KINDS["embedder"]
    async with serving(kind, LONG) as server, opened(kind, server.url) as port:
        server.on("/tokenize", answer([1, 2, 3]))
        with pytest.raises(Transient, match="/tokenize gave no list of tokens for each of 1 texts"):
            await kind.ask(port)
