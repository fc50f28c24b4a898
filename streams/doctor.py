"""The doctor: reaches every backend of the settings, and says what is wrong and what to do."""

import asyncio
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from processors.errors import Poison, Transient
from processors.ports import Port
from streams import provisioning
from streams.comparable import Vectors
from streams.composition import Backends, UnknownBackend
from streams.local import state
from streams.local.room import is_read_only
from streams.settings import Settings

PATIENCE_S = 30.0
"""For one backend to open and answer."""
LOW_DISK_BYTES = 1024**3
"""Below this the broker, which keeps up to 256 MB per partition, may soon find no room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found about one thing."""

    about: str
    ok: bool
    said: str
    remedy: str = ""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """A finding for each thing that the pipelines need, in order of dependency."""
    yield _disk(settings)
    if not (settings.kafka and settings.index and settings.generator):
        yield _local_stack(settings)
    broker = await asyncio.to_thread(_broker, settings)
    yield broker
    if broker.ok:
        yield await asyncio.to_thread(_topics, settings)
    backends, found = Backends(settings), dict[str, Finding]()
    apart, by_the_embedder = _ports(settings, backends)
    async with aclosing(_side_by_side(settings, apart)) as findings:
        async for finding in findings:
            yield _unless_said_above(finding, found)
    embedder = found["embedder"]
    for name, choose in by_the_embedder.items():  # one by one: they open and close the same embedder
        same = replace(embedder, about=name, said=_same(embedder))
        yield await _port(name, choose, _remedy(settings, name)) if embedder.ok else same
    if embedder.ok and found["index"].ok:
        remedy = _remedy(settings, "embedder")
        yield await _port("vectors", lambda: Vectors(backends.embedder, backends.index, settings.index_url), remedy)
    if settings.otlp_endpoint:
        yield await _otlp(settings.otlp_endpoint)


def _disk(settings: Settings) -> Finding:
    home = settings.home.resolve()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    free, sealed = shutil.disk_usage(existing).free, is_read_only(existing)
    return Finding(
        about="disk",
        ok=free >= LOW_DISK_BYTES and not sealed,
        said=f"{free / 1e9:.1f} GB free at {str(home)!r}{', which is read-only' * sealed}",
        remedy=f"{'make it writable' if sealed else 'free some space'}, or name another folder with HEADWATER_HOME",
    )


def _local_stack(settings: Settings) -> Finding:
    home = settings.home.resolve()
    seen, runs = state.read(home), state.running(home)
    if runs and seen is None:
        remedy = "headwater down, then headwater up"
        return Finding(about="local stack", ok=False, said="runs, but its state is unreadable", remedy=remedy)
    if seen is None or not runs:
        return Finding(about="local stack", ok=False, said="not running", remedy="start it: headwater up")
    unready = [f"{part.name} {part.phase}" for part in seen.parts.values() if part.phase != "ready"]
    remedy = f"`headwater status` shows why; the logs are in {str(home / 'logs')!r}"
    said = ", ".join(unready) if unready else f"{len(seen.parts)} parts ready"
    return Finding(about="local stack", ok=not unready, said=said, remedy=remedy)


def _broker(settings: Settings) -> Finding:
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    where = settings.kafka_url
    try:
        cluster = AdminClient({**settings.kafka_config, "log_level": 0}).list_topics(timeout=5)
    except KafkaException as error:
        remedy = "check HEADWATER_KAFKA and kafka_options" if settings.kafka else "start the local one: headwater up"
        return Finding(about="broker", ok=False, said=f"{where}: {error.args[0].str()}", remedy=remedy)
    return Finding(about="broker", ok=True, said=f"{where}: {len(cluster.brokers)} broker(s)")


def _topics(settings: Settings) -> Finding:
    try:
        differences = provisioning.plan(settings)
    except provisioning.ProvisioningError as error:
        return Finding(about="topics", ok=False, said=str(error), remedy="check the rights of this user")
    said = f"{len(differences)} differences" if differences else "as the table says"
    remedy = "see `headwater topics plan`, then `headwater topics apply`"
    return Finding(about="topics", ok=not differences, said=said, remedy=remedy)


Choose = Callable[[], Port]


def _ports(settings: Settings, backends: Backends) -> tuple[Mapping[str, Choose], Mapping[str, Choose]]:
    """Those that have a server or a model of their own, and those that work by the embedder."""
    apart: dict[str, Choose] = {
        "parser": lambda: backends.parser,
        "object store": lambda: backends.objects,
        "embedder": lambda: backends.embedder,
        "index": lambda: backends.index,
        "generative answers": lambda: backends.generators["generative"],
    }
    by_the_embedder: dict[str, Choose] = {"extractive answers": lambda: backends.generators["extractive"]}
    embedded = any(instance.url.startswith("embedded:") for instance in settings.instances("reranker"))
    (by_the_embedder if embedded else apart)["reranker"] = lambda: backends.reranker
    return apart, by_the_embedder


async def _side_by_side(settings: Settings, ports: Mapping[str, Choose]) -> AsyncGenerator[Finding, None]:
    """What is found about each, in their order: one that hangs keeps no other waiting."""
    asking = [asyncio.create_task(_port(name, choose, _remedy(settings, name))) for name, choose in ports.items()]
    try:
        for each in asking:
            yield await each
    finally:
        for each in asking:
            each.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


def _unless_said_above(finding: Finding, found: dict[str, Finding]) -> Finding:
    found[finding.about] = finding
    first = next(each for each in found.values() if each.said == finding.said)
    return finding if finding.ok or first is finding else replace(first, about=finding.about, said=_same(first))


def _same(first: Finding) -> str:
    return f"the same as with {first.about!r} above"


def _remedy(settings: Settings, name: str) -> str:
    local = {"index": not settings.index, "generative answers": not settings.generator}
    setting = {"extractive answers": "embedder", "generative answers": "generator", "object store": "objects"}
    if local.get(name):
        return "start the local one: headwater up"
    return f"check the setting {setting.get(name, name)!r}: headwater config"


async def _port(name: str, choose: Callable[[], Port], remedy: str) -> Finding:
    try:
        port = choose()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await port.open()
                return Finding(about=name, ok=True, said=await port.check())
        finally:
            await port.close()
    except (Transient, Poison, UnknownBackend) as error:
        return Finding(about=name, ok=False, said=str(error), remedy=remedy)
    except ImportError as error:
        remedy = "install the extra that brings it: `headwater[local]` has all of the local stack's"
        return Finding(about=name, ok=False, said=f"its client is missing: {error}", remedy=remedy)
    except TimeoutError:
        return Finding(about=name, ok=False, said=f"{name}: no answer in {PATIENCE_S:.0f} s", remedy=remedy)


async def _otlp(endpoint: str) -> Finding:
    address = urlsplit(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_connection(address.hostname, port)
        writer.close()
        await writer.wait_closed()
    except (OSError, TimeoutError) as error:
        said = f"{endpoint}: {str(error) or 'no answer'}"
        return Finding(about="traces", ok=False, said=said, remedy="check otlp_endpoint, or leave it empty")
    return Finding(about="traces", ok=True, said=endpoint)
