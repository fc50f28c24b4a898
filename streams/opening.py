"""Opening: the broker, its topics, services and an index of the same model, before a worker reads its first record."""

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

from processors.errors import Poison, Transient
from processors.ports import Port
from streams.comparable import check_comparable
from streams.pipelines import Ports
from streams.runtime.clock import Clock
from streams.runtime.producer import KafkaBroker
from streams.runtime.retry import Retry
from streams.runtime.segments import Segment
from streams.settings import Settings
from streams.tail import Deliver, Tail
from streams.topics import CANCELLATIONS

log = logging.getLogger("headwater.worker")

T = TypeVar("T")


class ConfigError(Exception):
    """The settings cannot work; the message says what and what to do."""


@dataclass(frozen=True, slots=True)
class Opening:
    """All that the stages of these segments need. What is away is waited for; what cannot work is a ConfigError."""

    settings: Settings
    segments: Sequence[Segment]
    ports: Ports
    broker: KafkaBroker
    retry: Retry
    clock: Clock

    async def open(self, resources: AsyncExitStack, *, cancel: Deliver) -> bool:
        """Open all of it, until `resources` end; withdrawn questions go to `cancel`. Raises ConfigError and Fatal."""
        try:
            await self.broker.open()
        except ConnectionError as error:
            raise ConfigError(str(error)) from error
        resources.push_async_callback(self.broker.close)
        await self._check_topics()
        if self._answers:
            cancellations = Tail(self.settings.kafka_config, self.settings.topic_prefix + CANCELLATIONS.name)
            resources.push_async_callback(cancellations.close)
            await self._patiently(cancellations.open)
            cancellations.follow(cancel)
        ports = ports_of(self.segments)
        for port in ports:
            resources.push_async_callback(port.close)
        await asyncio.gather(*(self._open_port(port) for port in ports))
        if any(port is self.ports.embedder for port in ports):
            await self._check_model()
        return True

    @property
    def _answers(self) -> bool:
        return any(segment.answers for segment in self.segments)

    async def _check_topics(self) -> None:
        """Raises ConfigError where a topic is missing: a consumer would wait for it in silence."""
        there = await self._patiently(self.broker.partitions)
        missing = [name for name in self._needed() if self.settings.topic_prefix + name not in there]
        if missing:
            named = ", ".join(self.settings.topic_prefix + name for name in missing)
            raise ConfigError(f"the broker at {self.settings.kafka_url} has no topic {named}; `headwater topics apply`")

    def _needed(self) -> Iterator[str]:
        for segment in self.segments:
            sinks = (segment.stages[-1].sink, segment.pipeline.failures)
            yield segment.source.name
            yield from (stage.source.dead_letter_name for stage in segment.stages)
            yield from (sink.name for sink in sinks if not sink.replies)
        if self._answers:
            yield CANCELLATIONS.name

    async def _open_port(self, port: Port) -> None:
        try:
            await self._patiently(port.open)
        except Poison as error:
            raise ConfigError(f"{type(port).__name__} does not open: {error.detail}") from error

    async def _check_model(self) -> None:
        """Raises ConfigError where the embedder's vectors cannot be compared with those in the index."""
        index, address = self.ports.index, self.settings.index_url
        is_open = any(port is index for port in ports_of(self.segments))
        try:
            if not is_open:
                await self._open_port(index)
            await self._patiently(lambda: check_comparable(self.ports.embedder, index, address=address))
        except Poison as error:
            raise ConfigError(error.detail) from error
        finally:
            if not is_open:
                await index.close()

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        async def reached() -> T:
            try:
                return await attempt()
            except ConnectionError as error:
                raise Transient(str(error)) from error

        def on_retry(failed: int, error: Transient, delay_s: float) -> None:
            log.warning("waiting", extra={"attempt": failed, "reason": error.reason, "delay_s": round(delay_s, 3)})

        return await self.retry.run(reached, clock=self.clock, on_retry=on_retry)


def ports_of(segments: Sequence[Segment]) -> Sequence[Port]:
    """The ports of the segments' processors, each once."""
    found: dict[int, Port] = {}
    for segment in segments:
        for stage in segment.stages:
            if not dataclasses.is_dataclass(stage.processor):
                continue
            for field in dataclasses.fields(stage.processor):
                value: object = getattr(stage.processor, field.name)
                values = value.values() if isinstance(value, Mapping) else (value,)
                found.update({id(each): each for each in values if isinstance(each, Port)})
    return list(found.values())
