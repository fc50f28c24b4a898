"""A TEI that answers at once, so that what a client costs is all there is to measure.

`python -m benchmarks.instant_tei` prints its address, and ends when standard input does.
"""

import asyncio
import sys

import numpy as np
import orjson

DIMENSIONS = 384
INFO = {
    "model_id": "instant",
    "model_sha": None,
    "model_type": {"embedding": {"pooling": "mean"}},
    "max_concurrent_requests": 512,
    "max_input_length": 512,
    "max_client_batch_size": 32,
    "auto_truncate": True,
    "version": "1.9.3",
}


async def serve() -> None:
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    row = orjson.dumps(_unit_vector(), option=orjson.OPT_SERIALIZE_NUMPY)
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            asked = await reader.readexactly(size)
            found = b"[" + b",".join([row] * len(orjson.loads(asked)["inputs"])) + b"]" if size else orjson.dumps(INFO)
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(found)
            )
            writer.write(found)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _unit_vector() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """With as many digits in JSON as a real one's float32, for they cost time."""
    vector = np.random.default_rng(1).normal(size=DIMENSIONS)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


if __name__ == "__main__":
    asyncio.run(serve())
