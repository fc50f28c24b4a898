"""The deployment that users run: TEI embeds and reranks, Milvus stores, Triton generates."""

from collections.abc import Iterator
from contextlib import contextmanager

from streams import provisioning
from streams.settings import Settings
from tests.servers import milvus
from tests.servers.llama import llama
from tests.servers.tei.process import tei
from tests.servers.triton import launcher as triton


def missing() -> str:
    """What of it is not installed, for a skip message; empty where all is."""
    return "; ".join(filter(None, (milvus.missing(), triton.missing())))


@contextmanager
def real_servers(settings: Settings, name: str) -> Iterator[Settings]:
    """The same settings but for the servers, with topics of their own on the same broker."""
    with (
        tei() as embedder,
        tei("--model", "minilm-reranker") as reranker,
        milvus.standalone() as index,
        llama() as model,
        triton.serving("vllm", llama=model.address) as generator,
    ):
        changes = {
            "embedder": f"tei+{embedder.url}",
            "reranker": f"tei+{reranker.url}",
            "index": index.index_url(name),
            "generator": f"triton+grpc://{generator.address}/vllm?max_tokens=48",
            "topic_prefix": f"{name}-",
            "home": settings.home / name,
            "objects": settings.objects_url,
        }
        own = settings.model_copy(update=changes)
        own.home.mkdir(exist_ok=True)
        provisioning.apply(own)
        yield own
