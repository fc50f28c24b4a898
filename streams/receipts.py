"""Wait for what became of a document event."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import datetime

from schemas import DocumentDeleted, DocumentPublished, Receipt, SchemaError, decode
from streams.runtime.headers import Incoming
from streams.runtime.records import Record
from streams.tail import Tail
from streams.topics import RECEIPTS

MAX_EXPECTED = 100_000
"""Events whose receipts a client keeps an eye on, about 40 MB; the oldest are forgotten first."""

Address = tuple[str, str, int, datetime]


class Receipts:
    """Matches receipts to one client's events, whether the wait begins before or after the receipt arrives."""

    def __init__(self, config: Mapping[str, str], prefix: str) -> None:
        self._tail = Tail(config, prefix + RECEIPTS.name)
        self._expected: OrderedDict[Address, asyncio.Future[Receipt]] = OrderedDict()

    async def expect(self, event: DocumentPublished | DocumentDeleted) -> None:
        """Call before the event is sent: its receipt can be waited for from now on."""
        await self._tail.open()
        self._expected[_address(event)] = asyncio.get_running_loop().create_future()
        if len(self._expected) > MAX_EXPECTED:
            self._expected.popitem(last=False)[1].cancel()

    def forget(self, event: DocumentPublished | DocumentDeleted) -> None:
        """The event was not sent after all."""
        self._expected.pop(_address(event), None)

    async def wait(self, event: DocumentPublished | DocumentDeleted) -> Receipt:
        """The receipt of an expected event; each can be had once."""
        address = _address(event)
        if address not in self._expected:
            raise LookupError(
                f"version {event.version} of {event.document_id!r} was not sent by this client, or its receipt was read"
            )
        self._tail.follow(self._deliver)
        receipt = await asyncio.shield(self._expected[address])
        self._expected.pop(address, None)
        return receipt

    async def close(self) -> None:
        await self._tail.close()
        for receipt in self._expected.values():
            receipt.cancel()
        self._expected.clear()

    def _deliver(self, batch: Sequence[Record]) -> None:
        for record in batch:
            try:
                receipt = decode(record.value, Incoming.of(record.headers).ce_type, RECEIPTS.events)
            except SchemaError:
                continue  # written by a stranger: it answers none of our events
            waiting = self._expected.get(_address(receipt))
            if waiting is not None and not waiting.done():
                waiting.set_result(receipt)


def _address(event: DocumentPublished | DocumentDeleted | Receipt) -> Address:
    return event.tenant, event.document_id, event.version, event.published_at
