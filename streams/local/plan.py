"""Which parts the settings ask for."""

from pathlib import Path
from urllib.parse import urlsplit

from streams import provisioning
from streams.local.errors import PartFailed
from streams.local.kafka import broker
from streams.local.llm import language_model
from streams.local.milvus import vector_store
from streams.local.parts import Part, own
from streams.settings import Settings

WORKERS = {"ingest": "chunk,embed,upsert", "query": "retrieve,rerank,generate"}


def jars_folder(settings: Settings) -> Path:
    """Where the broker's jars are kept."""
    return settings.local.jars or settings.home / "jars"


def parts_of(settings: Settings, *, workers: bool = True) -> list[Part]:
    """The parts in order of dependency; those whose service is the user's own are left out."""
    parts = []
    if not settings.kafka:
        parts.append(broker(settings, jars_folder(settings)))
    parts.append(Part(name="topics", prepare=lambda: _create_topics(settings), after=("kafka",)))
    if _is_local(settings.index, settings.local.milvus_port):
        parts.append(vector_store(settings))
    if any(_is_local(each.url, settings.local.llm_port) for each in settings.instances("generator")):
        parts.append(language_model(settings))
    if workers:
        parts += [_worker(settings, name, stages) for name, stages in WORKERS.items()]
    return parts


def _is_local(url: str, port: int) -> bool:
    """Whether the local part serves `url`: another collection or model name on its port is still its own."""
    try:
        address = urlsplit(url)
        return not url or (address.hostname in ("127.0.0.1", "localhost") and address.port == port)
    except ValueError:
        return False


def _worker(settings: Settings, name: str, stages: str) -> Part:
    return Part(
        name=f"{name}-worker",
        command=lambda: own("streams", "worker", "--stages", stages),
        ready_line=b"worker ready",
        after=("topics", "milvus", "llm"),
        # Two of them on one machine: neither can have the port, and the supervisor needs none.
        environment=settings.model_copy(update={"health_port": 0}).environment,
    )


def _create_topics(settings: Settings) -> None:
    """Create what is missing; what is there and differs is the user's to change."""
    try:
        missing = [each for each in provisioning.plan(settings) if each.what == "create"]
        provisioning.apply(settings, missing)
    except provisioning.ProvisioningError as error:
        raise PartFailed("topics", str(error)) from error
