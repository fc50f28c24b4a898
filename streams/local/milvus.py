"""The vector store: Milvus Lite as a server, spoken to as a cluster would be."""

import sys

from streams.local.parts import Part
from streams.settings import Settings

GET_VERSION = "/milvus.proto.milvus.MilvusService/GetVersion"


def vector_store(settings: Settings) -> Part:
    """The Milvus part."""
    port = settings.local.milvus_port
    data = settings.home.resolve() / "milvus"

    def command() -> list[str]:
        where = ["--data-dir", str(data), "--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-P", "-m", "milvus_lite", "server", *where]

    return Part(
        name="milvus",
        command=command,
        prepare=lambda: data.mkdir(parents=True, exist_ok=True),
        probe=lambda: answers(f"127.0.0.1:{port}"),
        port=port,
        port_setting="local.milvus_port",
    )


def answers(address: str, timeout_s: float = 1.0) -> bool:
    """Whether a Milvus answers; by a bare call, because pymilvus takes a second to import."""
    import grpc

    with grpc.insecure_channel(address) as channel:
        get_version = channel.unary_unary(GET_VERSION)
        try:
            get_version(b"", timeout=timeout_s)
        except grpc.RpcError:
            return False
    return True
