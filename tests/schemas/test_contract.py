"""The committed contracts say what the classes say, and every golden example decodes for ever."""

import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator

from schemas import (
    EVENTS,
    AnswerCompleted,
    ChunksEmbedded,
    DocumentPublished,
    Event,
    PassagesRanked,
    contract,
    decode,
    encode,
    text_hash,
)

EXAMPLES = [(event, case, value) for event in EVENTS for case, value in contract.examples(event).items()]
IDS = [f"{event.__name__}-{case}" for event, case, _ in EXAMPLES]


def example(event: type[Event]) -> Any:
    return decode(contract.examples(event)[""], event.ce_type, (event,))


def test_committed_contracts_match_the_classes() -> None:
    assert contract.differences() == []


def test_each_event_version_has_its_own_type() -> None:
    types = [event.ce_type for event in EVENTS]
    assert len(set(types)) == len(types)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_each_contract_is_a_json_schema_that_describes_itself(event: type[Event]) -> None:
    schema = contract.json_schema(event)
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == f"urn:headwater:event:{event.ce_type}"
    assert schema["title"] == event.__name__
    assert schema["description"] == " ".join((event.__doc__ or "").split())


def test_docstrings_under_fields_become_descriptions() -> None:
    published = contract.json_schema(DocumentPublished)["properties"]
    assert published["readers"]["description"].startswith("Users and groups who may read it")
    assert published["tenant"]["description"].startswith("1-64 letters")


def test_the_schema_demands_the_tag_that_the_decoder_demands() -> None:
    parts = contract.json_schema(DocumentPublished)["$defs"]
    assert all("kind" in parts[name]["required"] for name in ("InlineText", "InlineBytes", "Claim"))


def test_every_event_has_an_example() -> None:
    assert {event for event, case, _ in EXAMPLES if case == ""} == set(EVENTS)


def test_every_example_belongs_to_an_event() -> None:
    files = {path.read_bytes() for path in contract.EXAMPLES.glob("*.json")}
    assert files == {value for _, _, value in EXAMPLES}


@pytest.mark.parametrize(("event", "case", "value"), EXAMPLES, ids=IDS)
def test_every_example_decodes(event: type[Event], case: str, value: bytes) -> None:
    decoded = decode(value, event.ce_type, (event,))
    assert decode(encode(decoded), event.ce_type, (event,)) == decoded


@pytest.mark.parametrize(("event", "case", "value"), EXAMPLES, ids=IDS)
def test_every_example_and_what_we_write_fits_the_contract(event: type[Event], case: str, value: bytes) -> None:
    validator = Draft202012Validator(contract.json_schema(event), format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(orjson.loads(value))
    validator.validate(orjson.loads(encode(decode(value, event.ce_type, (event,)))))


def test_examples_tell_one_story() -> None:
    published, embedded, answer = example(DocumentPublished), example(ChunksEmbedded), example(AnswerCompleted)
    assert len(embedded.vectors) == 4 * embedded.dimensions * len(embedded.chunks)
    for chunk in embedded.chunks:
        assert chunk.text_hash == text_hash(chunk.text)
        assert chunk.end - chunk.start == len(chunk.text)
    for citation in answer.citations:
        chunk = embedded.chunks[citation.ordinal]
        assert citation.quote in published.source.text
        assert citation.quote == chunk.text[citation.start - chunk.start : citation.end - chunk.start]
        assert citation.quote == answer.text[citation.answer_start : citation.answer_end]
    for ranked in example(PassagesRanked).passages:
        assert ranked.text == embedded.chunks[ranked.ordinal].text


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(contract.CONTRACTS, tmp_path / "contracts"))


def change(directory: Path, event: type[Event], edit: Any) -> None:
    """Pretend that another contract was committed."""
    path = contract.contract_path(event, directory)
    schema = orjson.loads(path.read_bytes())
    edit(schema)
    path.write_bytes(orjson.dumps(schema))


def test_a_field_that_the_committed_contract_has_and_the_class_has_not_is_breaking(copied: Path) -> None:
    change(copied, DocumentPublished, lambda schema: schema["properties"].update(colour={"type": "string"}))
    (difference,) = contract.differences(copied)
    assert difference.breaking
    assert difference.changes == ("colour: the field was removed",)
    assert "new class with the next version" in difference.remedy


def test_a_field_that_only_the_class_has_wants_an_export(copied: Path) -> None:
    change(copied, DocumentPublished, lambda schema: schema["properties"].pop("profile"))
    (difference,) = contract.differences(copied)
    assert not difference.breaking
    assert difference.changes == ("profile: an optional field was added",)
    assert "headwater schemas export" in difference.remedy


def test_a_changed_description_wants_an_export(copied: Path) -> None:
    change(copied, DocumentPublished, lambda schema: schema.update(description="Something else."))
    (difference,) = contract.differences(copied)
    assert not difference.breaking
    assert difference.changes == ("only its descriptions changed",)


def test_a_contract_without_a_class_is_breaking(copied: Path) -> None:
    (copied / "headwater.document-published.v1.json").rename(copied / "headwater.document-published.v0.json")
    gone, new = contract.differences(copied)
    assert (gone.ce_type, gone.breaking) == ("headwater.document-published.v0", True)
    assert (new.ce_type, new.breaking) == ("headwater.document-published.v1", False)


def test_a_damaged_contract_is_named(copied: Path) -> None:
    contract.contract_path(DocumentPublished, copied).write_text("{")
    (difference,) = contract.differences(copied)
    assert difference.breaking
    assert "headwater.document-published.v1.json is not JSON" in difference.changes[0]


def test_export_repairs_whatever_differs(copied: Path) -> None:
    contract.contract_path(DocumentPublished, copied).unlink()
    assert contract.export(copied) == [contract.contract_path(DocumentPublished, copied)]
    assert contract.export(copied) == []
    assert contract.differences(copied) == []
