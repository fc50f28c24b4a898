"""Records, as confluent-kafka's consumers hand them out."""

from confluent_kafka import Message

from streams.runtime.records import Headers, Record


def record(message: Message) -> Record:
    """The record in a message that is no error."""
    return Record(
        topic=message.topic() or "",
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=message.key(),
        value=message.value(),
        headers=_headers(message),
        timestamp_ms=message.timestamp()[1],
    )


def _headers(message: Message) -> Headers:
    headers = message.headers() or []
    assert isinstance(headers, list)  # typed as everything that a producer accepts; a consumer gets pairs of bytes
    return [(name, value) for name, value in headers if not isinstance(value, str)]
