"""Dead letters: the record byte for byte, with headers that say what is wrong with it."""

from dataclasses import dataclass, replace
from datetime import datetime

from processors.errors import Poison
from streams.runtime.errors import Fatal
from streams.runtime.records import Broker, Headers, Outgoing, Record

PREFIX = "dlq-"
MAX_DETAIL_CHARS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is put aside, and why."""

    topic: str
    """The dead-letter topic, prefix included."""
    key: bytes | None
    value: bytes | None
    headers: Headers
    stage: str
    code: str
    detail: str
    attempts: int
    source: Record
    """The record that was being processed."""
    time: datetime
    trace: str
    """Hex trace id."""

    def record(self) -> Outgoing:
        """The letter as it is written. Headers of an earlier death are replaced."""
        about = {
            "stage": self.stage,
            "code": self.code,
            "detail": self.detail[:MAX_DETAIL_CHARS],
            "attempts": str(self.attempts),
            "source-topic": self.source.topic,
            "source-partition": str(self.source.partition),
            "source-offset": str(self.source.offset),
            "time": self.time.isoformat(),
            "trace": self.trace,
        }
        kept = [(name, value) for name, value in self.headers if not name.startswith(PREFIX)]
        reasons = [(PREFIX + name, text.encode(errors="replace")) for name, text in about.items()]
        return Outgoing(topic=self.topic, key=self.key, value=self.value, headers=[*kept, *reasons])


async def put_aside(broker: Broker, letter: Letter) -> None:
    """Write a letter and wait for the broker's word. Raises Fatal where it cannot be written: it must not be lost.

    A value that no longer fits (compressed better by its producer than by us) stays where it is: the letter then
    names its offset and its size.
    """
    record = letter.record()
    try:
        try:
            await (await broker.send(record))
        except Poison as error:
            if error.code != "record-too-large":
                raise
            omitted = (PREFIX + "omitted-bytes", str(len(record.value or b"")).encode())
            await (await broker.send(replace(record, value=None, headers=[*record.headers, omitted])))
    except (Poison, ConnectionError) as error:
        source = letter.source
        where = f"{source.topic}/{source.partition}@{source.offset}"
        raise Fatal("dead-letter-failed", f"{letter.topic} did not take {where} ({letter.code}): {error}") from error
