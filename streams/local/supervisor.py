"""The supervisor: starts the parts in order of dependency, watches them, restarts them, and stops them.

`python -m streams.local.supervisor [--no-workers]` with the settings in the environment. It lives until SIGTERM or,
until `keep` arrives on its standard input, until that closes: a starter that dies leaves nothing behind.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from streams.local import state
from streams.local.errors import StackError
from streams.local.keeper import Keeper
from streams.local.parts import Part
from streams.local.plan import parts_of
from streams.local.room import shortage
from streams.local.state import PartState, StackState
from streams.settings import Settings

WRITE_AGAIN_S = 1.0
"""After a state could not be written."""


class Supervisor:
    """Runs a set of parts until it is told to stop."""

    def __init__(self, home: Path, parts: Sequence[Part], board: StackState) -> None:
        self._home = home
        self._board = board
        self._keepers = {
            part.name: Keeper(
                part,
                board.parts[part.name],
                home / "logs" / f"{part.name}.log",
                self._publish,
                lambda: shortage(home),
            )
            for part in parts
        }
        self._stop = asyncio.Event()
        self._unwritten = False

    async def run(self) -> int:
        """Start everything, stay, stop everything; the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        leash = asyncio.create_task(self._leash())
        writing = asyncio.create_task(self._write_again())
        starts = asyncio.create_task(self._start())
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait((starts, stop), return_when=asyncio.FIRST_COMPLETED)
        failed = starts.done() and not starts.result()
        if failed:
            self._say("failed")
        else:
            await stop
            self._say("stopping")
        for task in (leash, writing, starts, stop):
            task.cancel()
        await self._stop_all()
        self._publish()
        return 1 if failed else 0

    async def _start(self) -> bool:
        """Whether every part became ready."""
        for keeper in self._keepers.values():
            keeper.start([self._keepers[name].ready for name in keeper.part.after if name in self._keepers])
        settled = [asyncio.create_task(keeper.settled.wait()) for keeper in self._keepers.values()]
        for done in asyncio.as_completed(settled):
            await done
            if any(each.phase == "failed" for each in self._board.parts.values()):
                return False
        self._say("ready")
        return True

    async def _stop_all(self) -> None:
        for keeper in reversed(self._keepers.values()):
            await keeper.stop()

    async def _leash(self) -> None:
        """Stop when the starter is gone before it said that the stack shall stay."""
        reader = asyncio.StreamReader()
        pipe = sys.stdin
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        if b"keep" not in await reader.read(16):
            self._stop.set()

    def _say(self, phase: state.Phase) -> None:
        self._board.phase = phase
        self._publish()

    def _publish(self) -> None:
        try:
            self._board.write(self._home)
            self._unwritten = False
        except OSError:  # a disk that is full must not end whoever looks after the parts
            self._unwritten = True

    async def _write_again(self) -> None:
        while True:
            await asyncio.sleep(WRITE_AGAIN_S)
            if self._unwritten:
                self._publish()


async def supervise(settings: Settings, *, workers: bool) -> int:
    """Run the local stack of these settings; returns the exit code when it has stopped."""
    home = settings.home.resolve()
    parts = parts_of(settings, workers=workers)
    states = {part.name: PartState(name=part.name, port=part.port) for part in parts}
    board = StackState(
        phase="starting",
        pid=os.getpid(),
        started=time.time(),
        kafka=settings.kafka_url,
        workers=workers,
        parts=states,
        settings=state.marks(settings),
        reading=settings.model_dump(include=state.READING),
    )
    with state.exclusive(home):
        board.write(home)
        return await Supervisor(home, parts, board).run()


def main() -> int:
    try:
        return asyncio.run(supervise(Settings(), workers="--no-workers" not in sys.argv[1:]))
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
