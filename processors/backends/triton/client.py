"""One model of a Triton Inference Server over gRPC: what it takes and gives, calls, streams, and what errors mean."""

import asyncio
import struct
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from processors.backends.http import Misdeployed, at_start
from processors.backends.triton.errors import meaning
from processors.backends.triton.served import Served, Tensors
from processors.backends.triton.url import TritonUrl
from processors.errors import Poison, Transient

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
"""For one batch, or between two pieces of a stream; the first may wait for a free slot of the server."""
LOAD_TIMEOUT_S = 600.0
"""Large weights come from slow disks."""
TELL_THE_END, THE_END = "triton_enable_empty_final_response", "triton_final_response"
"""Parameters of a request and of its last response."""


class TritonModel:
    """The connection. Everything raises Transient, of which `Misdeployed` tells what will not pass by itself."""

    def __init__(
        self, url: TritonUrl, *, key: str = "", ca_file: Path | None = None, answer_timeout_s: float = ANSWER_TIMEOUT_S
    ) -> None:
        self.url = url
        self._timeout_s = answer_timeout_s
        self._ca_file = ca_file
        self._headers = url.headers(key)
        self._client: Any = None
        self._grpc: Any = None

    async def open(self) -> Served:
        """Connect, have the model loaded where the URL asks for it, and read what it takes and gives."""
        if self._client is None:
            self._connect()
        with at_start(), self._translated():
            # Not the server's readiness: another model that failed to load would keep us out.
            if not await self._client.is_model_ready(self.url.model, **self._call()):
                await self._load()
        with at_start():
            return await self.describe(self.url.model)

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ready(self) -> None:
        """Return where the server is up and has the model loaded."""
        with self._translated():
            if not await self._client.is_model_ready(self.url.model, **self._call()):
                raise Misdeployed("model-not-ready", f"{self.url}: the model is not loaded; load it, or see its log")

    async def describe(self, model: str, *, version: str = "") -> Served:
        """What the server says about a model now."""
        with self._translated():
            metadata = await self._client.get_model_metadata(model, version, **self._call())
            config = (await self._client.get_model_config(model, version, **self._call())).config
        return Served.of(metadata, config)

    async def infer(self, inputs: Tensors, outputs: Sequence[str], *, version: str = "") -> dict[str, NDArray[Any]]:
        """One answer to one request. `version` keeps to that one of the model's versions."""
        with self._translated():
            result = await self._client.infer(
                self.url.model,
                _inputs(inputs),
                model_version=version,
                outputs=_requested(outputs),
                **self._call(),
            )
        return self._arrays(result.get_response(), outputs)

    async def stream(
        self, inputs: Tensors, outputs: Sequence[str], *, request_id: str, model: str = ""
    ) -> AsyncGenerator[dict[str, NDArray[Any]], None]:
        """Each response to one request as it comes; absent outputs are absent. Closing it cancels the request."""
        # One request per stream: an error in a stream does not say whose it is.
        request = _request(inputs, outputs, model=model or self.url.model, request_id=request_id)
        with self._translated():
            # The client's own way to it refuses the parameter that tells a whole answer from one that was cut.
            call = self._client._client_stub.ModelStreamInfer(_once(request), metadata=tuple(self._headers.items()))
        try:
            while True:
                response = await self._next(call)
                yield self._arrays(response, outputs)
                if response.parameters[THE_END].bool_param:
                    return
        finally:
            call.cancel()

    async def _next(self, call: Any) -> Any:
        """The next response of a stream."""
        with self._translated():
            async with asyncio.timeout(self._timeout_s):
                response = await call.read()
        if response is self._grpc.aio.EOF:
            raise Transient(f"{self.url} ended its answer without the last part; see its log, or what stands between")
        if response is None:  # as which gRPC hands on what is no message
            raise self.nonsense("a part of its answer that cannot be read")
        if response.error_message:
            raise meaning(self.url, None, response.error_message)
        return response.infer_response

    def nonsense(self, sent: str) -> Misdeployed:
        """The server answered, and not what the model declares."""
        return Misdeployed("bad-answer", f"{self.url} sent {sent}; correct the model, or what stands between")

    def _connect(self) -> None:
        try:
            import grpc
            import tritonclient.grpc.aio as triton
        except ImportError as error:
            raise Poison(
                "client-missing", f"{self.url}: {error.name} is not installed: pip install headwater[triton]"
            ) from error
        self._grpc = grpc
        options = [
            ("grpc.max_send_message_length", -1),
            ("grpc.max_receive_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            # A channel of one's own, so that one pool member's waiting does not become another's.
            ("grpc.use_local_subchannel_pool", 1),
            # The defaults wait up to two minutes before they look again whether a server is back.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            ("grpc.min_reconnect_backoff_ms", int(CONNECT_TIMEOUT_S * 1000)),
        ]
        trust = grpc.ssl_channel_credentials(_authorities(self._ca_file)) if self.url.tls else None
        self._client = triton.InferenceServerClient(self.url.address, creds=trust, channel_args=options)

    async def _load(self) -> None:
        """Have the model loaded, or say why it is not there."""
        if self.url.load:
            await self._client.load_model(self.url.model, headers=self._headers, client_timeout=LOAD_TIMEOUT_S)
            return
        index = (await self._client.get_model_repository_index(**self._call())).models
        states = {each.name: each for each in index}
        known = states.get(self.url.model)
        if known is None:
            raise Misdeployed("unknown-model", f"{self.url}: no such model; the server has {sorted(states)}")
        if known.state in ("LOADING", "UNLOADING"):
            raise Transient(f"{self.url}: the model is {known.state.lower()}")
        reason = f" ({known.reason})" if known.reason else ""
        remedy = "load it, or add load=true to the URL where the server's model control is explicit"
        raise Misdeployed("model-not-ready", f"{self.url}: the model is not loaded{reason}; {remedy}")

    def _call(self) -> dict[str, Any]:
        return {"headers": self._headers, "client_timeout": self._timeout_s}

    def _arrays(self, response: Any, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        from tritonclient.grpc import InferResult

        try:
            found = {name: InferResult(response).as_numpy(name) for name in outputs}
        # The client hands on None for what is no message, and fails at it by AttributeError.
        except (AttributeError, ValueError, TypeError, struct.error) as error:
            raise self.nonsense(f"an output that cannot be read: {error}") from error
        return {name: array for name, array in found.items() if array is not None}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """What fails between us and the model, in the words of the ports."""
        if self._client is None:
            raise Transient(f"{self.url} is not open")
        from tritonclient.utils import InferenceServerException

        try:
            yield
        except InferenceServerException as error:
            raise meaning(self.url, error.status(), error.message() or "") from error
        except self._grpc.RpcError as error:
            raise meaning(self.url, str(error.code()), error.details() or "") from error
        except TimeoutError as error:
            raise Transient(f"{self.url} said nothing for {self._timeout_s:g} s; it is overloaded or hangs") from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled us: so the client tells of a call that it gave up by itself.
            raise Transient(f"{self.url}: the call was given up; see the server's log") from error


def _inputs(arrays: Tensors) -> list[Any]:
    from tritonclient.grpc import InferInput
    from tritonclient.utils import np_to_triton_dtype

    inputs = []
    for name, array in arrays.items():
        given = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        given.set_data_from_numpy(array)
        inputs.append(given)
    return inputs


def _requested(outputs: Sequence[str]) -> list[Any]:
    from tritonclient.grpc import InferRequestedOutput

    return [InferRequestedOutput(name) for name in outputs]


def _request(inputs: Tensors, outputs: Sequence[str], *, model: str, request_id: str) -> Any:
    """For a stream; the last response says that it is the last, even where it holds nothing else."""
    from tritonclient.grpc import service_pb2
    from tritonclient.utils import np_to_triton_dtype, serialize_byte_tensor

    request = service_pb2.ModelInferRequest(model_name=model, id=request_id)
    request.parameters[TELL_THE_END].bool_param = True
    for name, array in inputs.items():
        request.inputs.add(name=name, datatype=np_to_triton_dtype(array.dtype), shape=array.shape)
        is_text = array.dtype == object
        request.raw_input_contents.append(serialize_byte_tensor(array).item() if is_text else array.tobytes())
    for name in outputs:
        request.outputs.add(name=name)
    return request


async def _once(request: Any) -> AsyncGenerator[Any, None]:
    yield request


def _authorities(ca_file: Path | None) -> bytes | None:
    """The public ones and the given one beside them; none: gRPC's own choice."""
    if ca_file is None:
        return None
    import certifi

    try:
        return Path(certifi.where()).read_bytes() + b"\n" + ca_file.read_bytes()
    except OSError as error:
        raise Poison("bad-ca-file", f"ca_file {str(ca_file)!r}: {error}; name a PEM file") from error
