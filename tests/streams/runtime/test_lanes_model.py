"""Lanes and their window beside a naive model: which work runs, which waits, and in which order, after any history."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.streams.runtime.test_lanes import Feeder

MAX_EVENTS, MAX_BYTES = 4, 100


@dataclass
class Task:
    """Work that ends when it is told to, well or badly."""

    number: int
    key: int
    size_bytes: int
    end: asyncio.Future[None]
    began: bool = False

    async def __call__(self) -> None:
        self.began = True
        await self.end


class Odd(Exception):
    """What a handler raises."""


class Model(RuleBasedStateMachine):
    """Work is fed, ends in any order, and fails at times."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.loop = self.runner.get_loop()
        self.feeder = Feeder(MAX_EVENTS, MAX_BYTES)
        self.tasks: list[Task] = []
        self.waiting: deque[Task] = deque()
        self.entered: list[Task] = []
        """In the window, in the order of their entry."""
        self.failed: list[int] = []
        """Keys whose lane has ended."""

    def teardown(self) -> None:
        self.runner.run(self.feeder.lanes.cancel())
        self.runner.close()

    @rule(key=st.integers(0, 3), size_bytes=st.sampled_from((0, 10, 40, 60, 100, 5_000)))
    def feed(self, key: int, size_bytes: int) -> None:
        task = Task(len(self.tasks), key, size_bytes, self.loop.create_future())
        self.tasks.append(task)
        self.waiting.append(task)
        self.settle(lambda: self.feeder.feed((key, size_bytes, task)))

    @precondition(lambda self: self.running())
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.running()))
        self.entered.remove(task)
        self.settle(lambda: task.end.set_result(None))

    @precondition(lambda self: self.running() and len(self.tasks) > 12)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(self.running()))
        self.failed.append(task.key)
        self.settle(lambda: task.end.set_exception(Odd(task.number)))

    def settle(self, do: Callable[[], None]) -> None:
        """Let happen what follows, here and in the model."""

        async def settled() -> None:
            do()
            for _ in range(3 * len(self.tasks) + 3):
                await asyncio.sleep(0)

        self.runner.run(settled())
        while self.waiting and not self.failed and self.fits(self.waiting[0].size_bytes):
            self.entered.append(self.waiting.popleft())

    def fits(self, size_bytes: int) -> bool:
        """What is larger than all of the window passes alone."""
        inside = sum(task.size_bytes for task in self.entered)
        return len(self.entered) < MAX_EVENTS and (not self.entered or inside + size_bytes <= MAX_BYTES)

    def running(self) -> list[Task]:
        """The first of each key that has not failed."""
        first = {task.key: task for task in reversed(self.entered)}
        return sorted((each for key, each in first.items() if key not in self.failed), key=lambda each: each.number)

    @invariant()
    def exactly_the_first_of_each_key_has_begun(self) -> None:
        began = {task.number for task in self.tasks if task.began and not task.end.done()}
        assert began == {task.number for task in self.running()}

    @invariant()
    def nothing_began_before_what_came_first_of_its_key(self) -> None:
        for task in self.tasks:
            if task.began:
                before = [each for each in self.tasks[: task.number] if each.key == task.key]
                assert all(each.end.done() and not each.end.exception() for each in before)

    @invariant()
    def the_window_is_never_exceeded(self) -> None:
        inside = [task for task in self.tasks if task.began and not task.end.done()]
        assert len(inside) <= MAX_EVENTS
        assert len(inside) == 1 or sum(task.size_bytes for task in inside) <= MAX_BYTES

    @invariant()
    def each_failure_is_told_once(self) -> None:
        assert len(self.feeder.errors) == len(self.failed)


Model.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestLanes = Model.TestCase
