"""Texts that a model's longest input cut short are told in the log: nothing else shows that nobody read their ends."""

import asyncio
import logging
from collections.abc import Sequence

from processors.ports import Port, Truncates

log = logging.getLogger("headwater.truncation")

TOLD_EVERY_S = 60.0


def truncated(port: object) -> int:
    """How many texts a backend cut so far; 0 where it does not count."""
    return port.truncated if isinstance(port, Truncates) else 0


class Truncations:
    """What the ports of a worker cut, told now and then, and at its end."""

    def __init__(self, ports: Sequence[Port]) -> None:
        self._ports = ports
        self._told = [0] * len(ports)

    async def keep_telling(self) -> None:
        while True:
            await asyncio.sleep(TOLD_EVERY_S)
            self.tell()

    def tell(self) -> None:
        """One line for each port that cut texts since the last time."""
        for place, port in enumerate(self._ports):
            texts, self._told[place] = truncated(port) - self._told[place], truncated(port)
            if texts > 0:
                remedy = "chunk smaller, ask shorter, or serve a model that reads more"
                name = type(port).__name__.removeprefix("Traced").lower()
                log.warning("texts cut", extra={"port": name, "texts": texts, "remedy": remedy})
