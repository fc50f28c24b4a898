"""One stage's work on one event: guarded, retried, and its outputs acknowledged."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from processors.errors import Poison, Transient
from schemas import AnswerDelta, ChunksEmbedded, Event
from streams.runtime.clock import Clock
from streams.runtime.errors import Fatal, NotAllowed
from streams.runtime.interrupts import Guard, Interrupts, query_of
from streams.runtime.outbox import Journey, Outbox
from streams.runtime.retry import Retry
from streams.runtime.waiting import Waiting
from streams.wiring import Stage, Topic

log = logging.getLogger("headwater.runtime")

Emit = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Runs processors and writes what they say."""

    outbox: Outbox
    interrupts: Interrupts
    retry: Retry
    clock: Clock

    async def run(self, stage: Stage, event: Event, journey: Journey, *, last: bool) -> Sequence[Event]:
        """What the stage made of `event`; where it is the `last` of its segment, that is written and nothing is left.

        Raises what the processor raises, Interrupted, and Fatal; SchemaError and Poison where an output cannot be
        written; Poison `no-output` where there is none. Outputs of a streaming processor are written as they come.
        """
        started = self.clock.monotonic()
        before = journey.timings
        deliveries: list[Awaitable[None]] = []
        answered = False
        report = _reporter(stage, journey)

        def measure() -> None:
            journey.timings = {**before, stage.name: (self.clock.monotonic() - started) * 1000}

        async def emit(output: Event) -> None:
            nonlocal answered
            answered = answered or not isinstance(output, AnswerDelta)
            measure()
            deliveries.append(await self.outbox.send(stage.sink, output, event, stage=stage.name, journey=journey))

        async with self.interrupts.guard(event) as guard:
            if (query := query_of(event)) is not None:
                await self.outbox.reachable(query)

            waiting = Waiting(self.clock, query.deadline if query else None)

            async def attempt() -> Sequence[Event]:
                return await waiting.run(lambda: _attempt(stage, event, guard, emit if last else None))

            def on_retry(failed: int, error: Transient, delay_s: float) -> None:
                busy_s = self.clock.monotonic() - started - waiting.waited_s
                self.interrupts.spare(event, error, waited_s=busy_s, delay_s=delay_s)
                report(failed, error, delay_s)

            outputs = await self.retry.run(attempt, clock=self.clock, on_retry=on_retry)
        measure()
        if last:
            for output in outputs:
                await emit(output)
            for delivery in deliveries:
                await settle(delivery, stage.sink)
        if not answered and not (outputs or _may_be_silent(event)):
            raise Poison("no-output", f"stage {stage.name!r} ended without a word: report it with the dead letter")
        return [] if last else outputs


async def settle(delivery: Awaitable[None], sink: Topic[Event]) -> None:
    """Wait for the broker's word on something sent to `sink`. Raises Poison, and Fatal where the sink is at fault."""
    try:
        await delivery
    except NotAllowed as error:
        if sink.replies:  # whoever asks chooses the topic
            raise Poison("reply-unreachable", str(error)) from error
        raise Fatal("not-allowed", f"{error}; give our user of Kafka the right to") from error
    except ConnectionError as error:
        raise Fatal("broker-lost", str(error)) from error
    except Poison as error:
        if error.code != "unknown-partition":
            raise
        if sink.replies:
            raise Poison("reply-unreachable", error.detail) from error
        raise Fatal("topic-missing", f"{error.detail}; run `headwater topics apply`") from error


async def _attempt(stage: Stage, event: Event, guard: Guard, emit: Emit | None) -> Sequence[Event]:
    """The processor's outputs; those of a streaming one go to `emit`, if there is one."""
    result = stage.process(event)
    if not isinstance(result, AsyncIterator):
        return list(await result)
    collected: list[Event] = []
    # Closing the iterator is what stops a generation where it runs.
    async with aclosing(result) as outputs:  # type: ignore[type-var]
        async for output in outputs:
            if emit is None:
                collected.append(output)
                continue
            final = stage.sink.replies and not isinstance(output, AnswerDelta)
            if final:
                await guard.settle()
            await emit(output)
            if final:
                break
    return collected


def _may_be_silent(event: Event) -> bool:
    """A document's slices are gathered without a word; the last one is answered for all of them."""
    return isinstance(event, ChunksEmbedded) and event.slice < event.slices - 1


def _reporter(stage: Stage, journey: Journey) -> Callable[[int, Transient, float], None]:
    def on_retry(failed: int, error: Transient, delay_s: float) -> None:
        journey.attempts = failed + 1
        record = journey.record
        log.warning(
            "retry",
            extra={
                "stage": stage.name,
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "attempt": failed,
                "reason": error.reason,
                "delay_s": round(delay_s, 3),
            },
        )

    return on_retry
