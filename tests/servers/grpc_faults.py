"""A gRPC server in front of a real one: single methods answer as they are told, all others are passed on.

async with GrpcFaults("127.0.0.1:19530") as way:
    way.faults["Search"] = Status("RESOURCE_EXHAUSTED", "too many requests")
"""

import asyncio
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


class Silence:
    """The request is read, and nothing comes back."""


Fault = Status | Silence | bytes
"""Bytes are sent as they are, in place of the message."""


class GrpcFaults(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc has no types
    """Listens on a free port of 127.0.0.1 while its context lasts; calls of one request and one answer only."""

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
        async def answer(request: bytes, context: Any) -> bytes:
            return await self._answer(called.method, request, context)

        return grpc.unary_unary_rpc_method_handler(answer)

    async def _answer(self, method: str, request: bytes, context: Any) -> bytes:
        match self.faults.get(method.rpartition("/")[2], self.faults.get("*")):
            case Status(code, words):
                await context.abort(grpc.StatusCode[code], words)
            case Silence():
                await asyncio.Event().wait()
            case bytes() as content:
                return content
        metadata = [(name, value) for name, value in context.invocation_metadata() if not name.startswith(OWN)]
        try:
            answer: bytes = await self._channel.unary_unary(method)(request, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            await context.abort(error.code(), error.details())
        return answer
