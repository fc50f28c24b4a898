"""A gRPC server in front of a real one: single methods answer as they are told, all others are passed on.

async with GrpcFaults("127.0.0.1:19530") as way:
    way.faults["Search"] = Status("RESOURCE_EXHAUSTED", "too many requests")
    way.faults["ModelStreamInfer"] = (PASS, b"no message")   # message by message
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import grpc

OWN = ("grpc-", "user-agent", "content-type", "te")
"""Headers that each connection makes for itself."""


@dataclass(frozen=True, slots=True)
class Status:
    """A refusal."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing more comes, and no end."""

    begun: bool = False
    """Whether the head of the answer is sent before."""


def PASS(message: bytes) -> bytes:  # noqa: N802 - a constant
    """The real message."""
    return message


Step = Status | Silence | bytes | Callable[[bytes], bytes]
"""Bytes are sent as they are, in place of a message; a function makes the message of the real server's next one."""
Fault = Step | tuple[Step, ...]
"""After the last step the answer ends, as if it were whole."""


class GrpcFaults(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Listens on a free port of 127.0.0.1 while its context lasts."""

    def __init__(self, upstream: str) -> None:
        self.faults: dict[str, Fault] = {}
        """By the method's name without its service; `*` for all that are not named."""
        self.address = ""
        self._upstream = upstream

    async def __aenter__(self) -> Self:
        self._channel = grpc.aio.insecure_channel(self._upstream)
        self._server = grpc.aio.server()
        self._server.add_generic_rpc_handlers((self,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop(None)
        await self._channel.close()

    def service(self, called: Any) -> Any:
        async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncGenerator[bytes, None]:
            real = self._passed(called.method, requests, context)
            async with aclosing(real), aclosing(self._answer(called.method, real, context)) as messages:
                async for message in messages:
                    yield message

        # A call of one request and one answer is the same on the wire.
        return grpc.stream_stream_rpc_method_handler(answer)

    async def _answer(
        self, method: str, real: AsyncGenerator[bytes, None], context: Any
    ) -> AsyncGenerator[bytes, None]:
        fault = self.faults.get(method.rpartition("/")[2], self.faults.get("*"))
        if fault is None:
            async for message in real:
                yield message
            return
        for step in fault if isinstance(fault, tuple) else (fault,):
            match step:
                case Status(code, words):
                    await context.abort(grpc.StatusCode[code], words)
                case Silence(begun):
                    if begun:
                        await context.send_initial_metadata(())
                    await asyncio.Event().wait()
                case bytes():
                    yield step
                case _:
                    yield step(await anext(real))

    async def _passed(self, method: str, requests: AsyncIterator[bytes], context: Any) -> AsyncGenerator[bytes, None]:
        metadata = [(name, value) for name, value in context.invocation_metadata() if not name.startswith(OWN)]
        call = self._channel.stream_stream(method)(requests, metadata=metadata)
        try:
            async for message in call:
                yield message
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details())
        finally:
            call.cancel()
