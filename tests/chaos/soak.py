"""A worker to be soaked: `python -m tests.chaos.soak`, settings from the environment.

It is the product's worker, runtime, wiring and processors, hosting the ingest pipeline; only what is behind the ports
keeps nothing, so that a million deletions take minutes, and whatever memory grows is the worker's own.
"""

import asyncio
import sys
from collections.abc import Mapping
from functools import cached_property

from opentelemetry.trace import NoOpTracer

from processors.ports import Head, Index
from schemas import DocumentId, Tenant
from streams import logs
from streams.settings import Settings
from streams.worker import serve
from tests.chaos.memory_index import MemoryIndex
from tests.chaos.worker import SimplePorts

STAGES = ("chunk", "embed", "upsert")


class ForgetfulIndex(MemoryIndex):
    """Acknowledges every deletion, and remembers none."""

    def __init__(self) -> None:
        super().__init__(_passed)

    async def flip(self, head: Head) -> None:
        pass

    async def erase(self, tenant: Tenant, document_id: DocumentId, *, up_to_version: int) -> Mapping[str, int]:
        return {"memory": 1}


class ForgetfulPorts(SimplePorts):
    """Nothing behind them grows."""

    @cached_property
    def index(self) -> Index:
        return ForgetfulIndex()


async def _passed(_point: str) -> None:
    """Nobody dies here."""


def main() -> int:
    settings = Settings()
    logs.configure(settings.log_level)
    return asyncio.run(serve(settings, STAGES, tracer=NoOpTracer(), ports=ForgetfulPorts(settings)))


if __name__ == "__main__":
    sys.exit(main())
