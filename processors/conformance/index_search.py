"""What searches of an Index show, and to whom."""

from processors.conformance import equal, holds
from processors.conformance.documents import HashedWords
from processors.conformance.shelf import HANDBOOK, Shelf
from schemas import Scalar, Tenant

EXACT = 1e-4


async def a_passage_says_where_it_stands_and_how_it_scored(shelf: Shelf) -> None:
    """A passage carries its place, its metadata, the exact cosine and the scores that it was ranked by."""
    await shelf.publish(["a blue valve", "a red pump"], metadata={"team": "north", "level": 2})
    [first, *_] = await shelf.find("which pump")
    place = (first.document_id, first.version, first.ordinal, first.text, first.title)
    equal(place, (HANDBOOK, 1, 1, "a red pump", "Handbook"), "the best passage", "citations name the wrong place")
    where = (first.page, first.section, first.start, first.end)
    equal(where, (2, ("Manual", "Part"), 100, 110), "its page, section and offsets", "citations name the wrong place")
    equal(first.metadata, {"team": "north", "level": 2}, "its metadata", "answers lose what was said of documents")
    [question, passage] = await HashedWords().embed(["which pump", "a red pump"], role="query")
    cosine, dense = float(question @ passage), first.scores.get("dense", -1)
    said = f"its dense score: expected the cosine {cosine:.4f}, got {dense:.4f}"
    holds(abs(cosine - dense) <= EXACT, said, "scores of different searches cannot be compared")
    holds("fused" in first.scores, f"no fused score among {sorted(first.scores)}", "passages cannot be ranked")
    words = {name: score for name, score in first.scores.items() if name not in ("dense", "fused")}
    said = f"scores by words: expected above 0, got {words}"
    holds(all(score > 0 for score in words.values()), said, "a word that occurs counts against a passage")


async def passages_come_best_first_and_at_most_as_many_as_asked_for(shelf: Shelf) -> None:
    """Of thirty similar passages the five best come, in order."""
    await shelf.publish([f"pump number {n}" for n in range(30)])
    passages = await shelf.find("pump number 8", limit=5)
    equal(len(passages), 5, "the number of passages with a limit of 5", "prompts are too long or too short")
    equal(passages[0].text, "pump number 8", "the best passage for its own text", "searches miss exact words")
    fused = [passage.scores["fused"] for passage in passages]
    equal(fused, sorted(fused, reverse=True), "the fused scores in order", "the best passage may be cut off")


async def a_tenant_never_sees_anothers_documents(shelf: Shelf) -> None:
    """The same document id under two tenants is two documents."""
    await shelf.publish(["the pump of the one"])
    await shelf.publish(["the pump of the other"], tenant=shelf.neighbour)
    leak = "one customer reads another's documents"
    equal(await shelf.texts("pump"), ["the pump of the one"], "what the one tenant finds", leak)
    equal(await shelf.texts("pump", tenant=shelf.neighbour), ["the pump of the other"], "what the other finds", leak)
    nobody = Tenant(f"{shelf.tenant}-c")
    equal(await shelf.texts("pump", tenant=nobody), [], "what a third tenant finds", leak)


async def a_document_with_readers_is_found_only_by_one_of_them(shelf: Shelf) -> None:
    """Who may read is decided inside the search, and no pattern counts as a name."""
    await shelf.publish(["the public pump"], document_id="public")
    await shelf.publish(["the secret pump"], document_id="secret", readers=("ann", "group:ops"))
    both = {"public", "secret"}
    for principals, wanted in (
        ((), {"public"}),
        (("bob", "group:sales"), {"public"}),
        (("ann",), both),
        (("bob", "group:ops"), both),
        (("%", "_", "", "an", "ann|group:ops", "group:op_"), {"public"}),
    ):
        found = {passage.document_id for passage in await shelf.find("pump", principals=principals)}
        equal(found, wanted, f"what {principals} find", "people read what is not for them, or not what is")


async def filters_select_by_metadata(shelf: Shelf) -> None:
    """A filter keeps the documents whose field has the value, or one of the values; equal numbers are equal."""
    await shelf.publish(["pump a"], document_id="a", metadata={"team": "north", "level": 2})
    await shelf.publish(["pump b"], document_id="b", metadata={"team": "south", "level": 2.5})
    await shelf.publish(["pump c"], document_id="c", metadata={"team": "north", "level": "2", "draft": True})
    cases: list[tuple[dict[str, Scalar | tuple[Scalar, ...]], set[str]]] = [
        ({"team": "north"}, {"a", "c"}),
        ({"team": ("north", "south")}, {"a", "b", "c"}),
        ({"team": "north", "level": 2}, {"a"}),
        ({"level": 2.0}, {"a"}),
        ({"level": (2.5, "2")}, {"b", "c"}),
        ({"draft": True}, {"c"}),
        ({"draft": 1}, set()),
        ({"team": ()}, set()),
        ({"nosuch": "north"}, set()),
    ]
    for filters, wanted in cases:
        found = {passage.document_id for passage in await shelf.find("pump", filters=filters)}
        equal(found, wanted, f"what the filters {filters} leave", "questions are answered from the wrong documents")


async def dropped_hits_do_not_cost_recall(shelf: Shelf) -> None:
    """A document with 39 old versions does not push others out of the result."""
    for version in range(1, 39):
        for event in shelf.slices(["pump"], document_id="busy", version=version):
            await shelf.write(event)
    await shelf.publish(["pump"], document_id="busy", version=39)
    for number in range(12):
        await shelf.publish([f"pump and much other text {number}"], document_id=f"calm-{number}")
    passages = await shelf.find("pump", limit=10)
    documents = len({passage.document_id for passage in passages})
    lost = "passages that answer are hidden behind a document that changed often"
    equal((len(passages), documents), (10, 10), "passages and documents of a search for ten", lost)
