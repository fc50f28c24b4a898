"""A server of a test's own, made from a part of the local stack: killed, paused and started as the test likes."""

import asyncio
import os
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from streams.local import kafka, tether
from streams.local.listeners import free_ports
from streams.local.parts import Part
from streams.settings import LocalStack, Settings

LOOK_S = 0.05
JARS = Path(__file__).parents[2] / ".headwater" / "jars"


def own_stack(home: Path) -> Settings:
    """Settings of a local stack on free ports, with the jars of this checkout."""
    kafka_port, controller, milvus, llm = free_ports(4)
    local = LocalStack(
        kafka_port=kafka_port, kafka_controller_port=controller, milvus_port=milvus, llm_port=llm, jars=JARS
    )
    return Settings(home=home, local=local)


class OwnServer:
    """The same server on the same data from start to start; dies with the test."""

    def __init__(self, part: Part, log: Path) -> None:
        self.part = part
        self._log = log
        self._process: Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.part.port}"

    async def start(self) -> None:
        """Return when it answers."""
        part = self.part
        assert part.command is not None
        assert part.probe is not None
        if part.prepare is not None:
            await asyncio.to_thread(part.prepare)
        command = [sys.executable, tether.__file__, str(os.getpid()), *part.command()]
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        deadline = time.monotonic() + part.start_s
        while not await asyncio.to_thread(part.probe):
            alive = self._process.returncode is None and time.monotonic() < deadline
            assert alive, f"{part.name}: {self._log.read_text()[-2000:]}"
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        """As its operator stops it."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As a crash ends it."""
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), self.part.stop_s)
            except TimeoutError:
                self._signal(signal.SIGKILL)
                await self._process.wait()


@asynccontextmanager
async def running(part: Part, log: Path) -> AsyncIterator[OwnServer]:
    """The server, answering; gone afterwards, whatever was done to it. Its data stay where the part keeps them."""
    server = OwnServer(part, log)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


def broker(stack: Settings, folder: Path) -> Part:
    """A broker beside that of the stack, which others need; its data lie in the folder."""
    assert stack.local.jars is not None
    clients, controller = free_ports(2)
    local = stack.local.model_copy(update={"kafka_port": clients, "kafka_controller_port": controller})
    return kafka.broker(stack.model_copy(update={"home": folder, "local": local}), stack.local.jars)
