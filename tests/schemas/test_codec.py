"""What the codec promises: nothing is lost on the way, and nothing but SchemaError comes out of bad input."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import EVENTS, DocumentDeleted, DocumentPublished, Event, QueryAsked, SchemaError, contract, decode, encode
from tests.schemas.strategies import events

PUBLISHED: dict[str, Any] = orjson.loads(contract.examples(DocumentPublished)[""])
ASKED: dict[str, Any] = orjson.loads(contract.examples(QueryAsked)[""])
INGEST = (DocumentPublished, DocumentDeleted)


def refusal(value: bytes | None, ce_type: str | None = DocumentPublished.ce_type) -> str:
    with pytest.raises(SchemaError) as caught:
        decode(value, ce_type, INGEST)
    return str(caught.value)


def published(**changes: Any) -> bytes:
    return orjson.dumps(PUBLISHED | changes)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
@settings(max_examples=40)
@given(data=st.data())
def test_every_event_survives_the_wire(event: type[Event], data: st.DataObject) -> None:
    original = data.draw(events(event))
    assert decode(encode(original), event.ce_type, (event,)) == original


@settings(max_examples=200)
@given(value=st.binary(max_size=200))
def test_any_bytes_decode_or_raise_a_schema_error(value: bytes) -> None:
    assert refusal(value).startswith("headwater.document-published.v1: ")


@settings(max_examples=200)
@given(
    changes=st.dictionaries(
        st.sampled_from(sorted(PUBLISHED)),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=5,
        ),
    )
)
def test_any_json_decodes_to_what_can_be_encoded_or_raises_a_schema_error(changes: dict[str, Any]) -> None:
    try:
        event = decode(published(**changes), DocumentPublished.ce_type, INGEST)
    except SchemaError:
        return
    assert decode(encode(event), event.ce_type, INGEST) == event


def test_unknown_fields_are_ignored() -> None:
    event = decode(published(colour="blue", nested={"a": [1]}), DocumentPublished.ce_type, INGEST)
    assert event == decode(published(), DocumentPublished.ce_type, INGEST)


def test_a_topic_of_one_event_needs_no_type() -> None:
    assert decode(orjson.dumps(ASKED), None, (QueryAsked,)).query_id == ASKED["query_id"]


def test_a_topic_of_several_events_needs_a_type() -> None:
    message = refusal(published(), None)
    assert message.startswith("no ce_type header")
    assert DocumentPublished.ce_type in message
    assert DocumentDeleted.ce_type in message


@pytest.mark.parametrize("ce_type", ["", "headwater.document-published.v2", "headwater.query-asked.v1", "\x00" * 5000])
def test_an_unknown_type_is_named_beside_the_known_ones(ce_type: str) -> None:
    message = refusal(published(), ce_type)
    assert message.startswith("unknown event type ")
    assert DocumentPublished.ce_type in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (None, "the record has no value"),
        (b"", "Invalid JSON"),
        (b"\x80\xff", "Invalid JSON"),
        (b"\xef\xbb\xbf" + published(), "byte order mark"),
        (published().decode().encode("utf-16"), "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON: recursion limit"),
        (b'{"metadata":' * 100_000, "Invalid JSON: recursion limit"),
        (published().replace(b'"Travel"', b'"\\ud800"'), "Invalid JSON"),
        (published().replace(b'"Travel"', b'"\xed\xa0\x80"'), "Invalid JSON"),
        (published()[:-1], "Invalid JSON: EOF"),
        (b"null", "an object"),
        (b"[]", "an object"),
        (b"{}", "tenant: Field required (and 5 more)"),
    ],
)
def test_what_is_not_a_json_object_of_the_event_says_so(value: bytes | None, says: str) -> None:
    assert says in refusal(value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"version": "3"}, "version: Input should be a valid integer, not '3'"),
        ({"version": True}, "version: Input should be a valid integer, not True"),
        ({"version": 1.5}, "version: Input should be a valid integer, not 1.5"),
        ({"version": 0}, "version: Input should be greater than or equal to 1, not 0"),
        ({"version": 2**63}, "version: Input should be less than"),
        ({"tenant": "a/b"}, "tenant: String should match pattern"),
        ({"tenant": "acme\n"}, "tenant: String should match pattern"),
        ({"document_id": ""}, "document_id: String should have at least 1 character"),
        ({"document_id": "x" * 513}, "document_id: String should have at most 512 characters"),
        ({"published_at": 1772442847}, "published_at: Input should be a valid datetime"),
        ({"published_at": "2026-03-02T09:14:07"}, "published_at: Input should have timezone info"),
        ({"published_at": "yesterday"}, "published_at: Input should be a valid datetime"),
        ({"source": {"text": "no kind"}}, "source: Unable to extract tag using discriminator 'kind'"),
        ({"source": {"kind": "parchment", "text": "x"}}, "source: Input tag 'parchment'"),
        ({"source": {"kind": "bytes", "data": "a=b!"}}, "source.bytes.data: Base64 decoding error"),
        ({"source": {"kind": "claim", "uri": "s3://b/k", "sha256": "F" * 64, "size_bytes": 1}}, "source.claim.sha256"),
        ({"readers": "everyone"}, "readers: Input should be a valid array"),
        ({"metadata": {"a": None}}, "metadata.a"),
        ({"metadata": {str(n): n for n in range(65)}}, "metadata: Dictionary should have at most 64 items"),
        ({"profile": "poetic"}, "profile: Input should be 'technical', 'general' or 'legal', not 'poetic'"),
    ],
)
def test_a_wrong_field_is_named_with_what_it_should_be(changes: dict[str, Any], says: str) -> None:
    assert says in refusal(published(**changes))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999"])
def test_numbers_that_json_does_not_know_are_refused(number: bytes) -> None:
    assert "metadata.year" in refusal(published().replace(b"2026}", number + b"}"))


def test_a_number_with_five_thousand_digits_is_refused() -> None:
    assert "number out of range" in refusal(published().replace(b'"version":3', b'"version":' + b"9" * 5_000))


def test_a_refusal_does_not_repeat_the_document() -> None:
    assert len(refusal(published(source={"kind": "text", "text": ["long " * 10_000]}))) < 300
    assert "long" not in refusal(published(title=["long " * 10_000]))


def test_a_lone_surrogate_cannot_be_written() -> None:
    event = decode(published(), DocumentPublished.ce_type, INGEST)
    object.__setattr__(event, "title", "\ud800")
    with pytest.raises(SchemaError, match="DocumentPublished cannot be written as JSON"):
        encode(event)
