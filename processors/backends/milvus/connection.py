"""The only place that knows pymilvus: connecting, calling, and its errors in our words."""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processors.backends.http import Misdeployed
from processors.backends.milvus.deferred_pandas import pandas_deferred
from processors.backends.milvus.errors import handshake, of_server, of_transport
from processors.backends.milvus.schema import Server
from processors.errors import Transient

CALL_TIMEOUT_S = 10.0
REFUSED_BY_CLIENT = frozenset({"ParamError", "DataNotMatchException", "DataTypeNotMatchException"})
"""Exceptions for what never left this process."""
TIME_IS_OVER = "Retry timeout"
"""All that pymilvus says after it has tried again for as long as a call may take."""

_failure: ContextVar[Any] = ContextVar("failure", default=None)
"""What the last attempt of the call at hand failed with."""


class MilvusConnection:
    """An asynchronous connection whose calls have a timeout and raise Transient or Poison only."""

    def __init__(self, uri: str, *, token: str, database: str = "", ca_file: Path | None = None) -> None:
        self.uri = uri
        self.database = database
        self._token = token
        self._ca_file = str(ca_file) if ca_file and uri.startswith("https:") else ""
        self._client: Any = None
        self._pymilvus: Any = None
        self.server = Server("")

    async def open(self, database: str | None = None) -> None:
        """Connect to the database of the address, or to another one."""
        await self.close()
        with pandas_deferred():
            import pymilvus
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # it logs a traceback per failed attempt
        self._pymilvus = pymilvus
        # Servers close a connection that pings them while idle more often than every five minutes.
        options: dict[str, Any] = {"grpc_options": {"grpc.keepalive_permit_without_calls": False}}
        if self._ca_file:
            options["server_pem_path"] = self._ca_file
        self._client = pymilvus.AsyncMilvusClient(
            uri=self.uri, token=self._token, db_name=self.database if database is None else database, **options
        )
        try:
            self.server = Server(str(await self.call("get_server_version")))
            _note_failures(self._client)
            if self.database and database is None:
                # Or the first document would learn that there is no such database.
                await self.call("has_collection", "any")
        except Transient as error:
            if not isinstance(error, Misdeployed) and self.uri.startswith("https:"):
                await handshake(self.uri, self._ca_file or None)
            raise

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def types(self) -> Any:
        """pymilvus, for its schemas and requests."""
        return self._pymilvus

    async def call(self, method: str, *arguments: Any, timeout_s: float | None = None, **options: Any) -> Any:
        """What pymilvus' `method` returns."""
        import grpc

        if self._client is None:
            raise Transient(f"the index at {self.uri} is not open")
        timeout_s = CALL_TIMEOUT_S if timeout_s is None else timeout_s
        about = f"milvus at {self.uri}: {method}"
        # Whoever is busy is asked again by the runtime, which knows for how long, and not by pymilvus.
        options |= {"timeout": timeout_s, "retry_on_rate_limit": False}
        before = _failure.set(None)
        try:
            async with asyncio.timeout(timeout_s + 1):  # pymilvus does not count the time that connecting takes
                return await getattr(self._client, method)(*arguments, **options)
        except self._pymilvus.MilvusException as error:
            # It only says that connecting failed, or that time is over, and not why.
            cause = (_failure.get() if TIME_IS_OVER in error.message else None) or error.__cause__
            if isinstance(cause, grpc.RpcError):
                raise of_transport(cause, about) from error
            said = f"{about}: {error.message} (code {error.code})"
            raise of_server(error, said, is_input=type(error).__name__ in REFUSED_BY_CLIENT) from error
        except grpc.RpcError as error:
            raise of_transport(error, about) from error
        except TimeoutError as error:
            if failed := _failure.get():
                raise of_transport(failed, about) from error
            raise Transient(f"{about}: no answer in {timeout_s:.0f} s; is it overloaded or unreachable?") from error
        except (OSError, ssl.SSLError) as error:
            raise Transient(f"{about}: {str(error) or type(error).__name__}") from error
        finally:
            _failure.reset(before)


@dataclass(frozen=True, slots=True)
class _Noted:
    """What pymilvus tells of each failed attempt before it tries again, and forgets."""

    tell: Callable[[Any], Awaitable[bool]]

    async def __call__(self, error: Any) -> bool:
        import grpc

        if isinstance(error, grpc.RpcError):
            _failure.set(error)
        return await self.tell(error)


def _note_failures(client: Any) -> None:
    """On the connection that a client of pymilvus has, and may share with others."""
    handler = client._handler
    if not isinstance(handler._on_rpc_error, _Noted):
        handler._on_rpc_error = _Noted(handler._on_rpc_error)
