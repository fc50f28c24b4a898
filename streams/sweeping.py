"""What an upserting worker does beside its records: it removes chunks that no search can see any more."""

import asyncio
import logging
import random

from processors.errors import Poison, Transient
from processors.ports import Index

log = logging.getLogger("headwater.sweeping")

SWEEP_EVERY_S = 5.0
"""Superseded chunks stay this long at most beyond the index's staleness bound."""


async def keep_sweeping(index: Index) -> None:
    while True:
        await asyncio.sleep(SWEEP_EVERY_S * (0.5 + random.random()))  # noqa: S311 - spreads workers out
        try:
            await index.sweep()
        except (Transient, Poison) as error:
            # What nobody sees may lie there longer; documents and receipts must not wait for it.
            log.warning("sweep postponed", extra={"reason": str(error)})
