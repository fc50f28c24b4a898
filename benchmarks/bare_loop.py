"""The other side of the ingest ratio: the same embedder, called by a loop in batches of 32.

`python -m benchmarks.bare_loop TEXTS` loads a JSON list of texts, says `ready`, and answers each line on standard
input with the seconds that embedding all of them took.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import orjson

from processors.ports import Embedder
from streams.composition import Backends
from streams.settings import Settings

BATCH = 32


async def main(texts: Sequence[str]) -> None:
    """Embed all the texts once for every line that comes in."""
    embedder = Backends(Settings()).embedder
    await embedder.open()
    await embed_all(embedder, texts[: 2 * BATCH])  # warm-up
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(await embed_all(embedder, texts), flush=True)
    await embedder.close()


async def embed_all(embedder: Embedder, texts: Sequence[str]) -> float:
    """Seconds to embed the texts, a batch after the other."""
    started = time.perf_counter()
    for at in range(0, len(texts), BATCH):
        await embedder.embed(texts[at : at + BATCH], role="passage")
    return time.perf_counter() - started


if __name__ == "__main__":
    asyncio.run(main(orjson.loads(Path(sys.argv[1]).read_bytes())))
