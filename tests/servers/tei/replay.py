"""Send recorded requests to stand-ins that have the recorded server's flags."""

import asyncio
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from tests.servers.tei import exchanges
from tests.servers.tei.exchanges import JSON_BODY, Answer, Json
from tests.servers.tei.flags import parse
from tests.servers.tei.model import MiniLm
from tests.servers.tei.server import Server

T = TypeVar("T")

MODELS = {
    "minilm": "minilm",
    "minilm-prompts": "minilm-prompts",
    "reranker": "minilm-reranker",
    "classifier": "minilm-classifier",
    "sparse": "minilm-sparse",
    "zeros": "minilm --output zeros",
    "failing": "minilm --fail-text hello",
    "reranker-nan": "minilm-reranker --output nan",
    "classifier-nan": "minilm-classifier --output nan",
    "classifier-biglogit": "minilm-classifier --output steep",
}
"""What stands for each model of the recordings; none was made of a sparse one."""
CHUNK = 65536
TIMEOUT_S = 30


def flags(recorded: str) -> list[str]:
    """The stand-in's flags for those of a recorded server, `--model-id` first."""
    _, name, *rest = recorded.split(" ")
    return ["--model", *MODELS[name].split(" "), "--model-id", name, *rest]


@dataclass(slots=True)
class Stage:
    """Stand-ins in a thread of this process, one for each set of flags, sharing the model's weights."""

    loop: asyncio.AbstractEventLoop
    _servers: dict[str, Server] = field(default_factory=dict)
    _started: list[Server] = field(default_factory=list)

    def server(self, recorded: str) -> Server:
        if recorded not in self._servers:
            self._servers[recorded] = self.fresh(recorded)
        return self._servers[recorded]

    def fresh(self, recorded: str, *more: str) -> Server:
        """A server that has seen nothing yet."""

        async def start() -> Server:
            server = Server(chosen, MiniLm(chosen))
            await server.start()
            return server

        chosen = parse([*flags(recorded), *more])
        server = self.run(start)
        self._started.append(server)
        return server

    def run(self, verb: Callable[[], Coroutine[object, object, T]]) -> T:
        return asyncio.run_coroutine_threadsafe(verb(), self.loop).result(TIMEOUT_S)

    def stop(self) -> None:
        for server in self._started:
            self.run(server.stop)


@contextmanager
def stage() -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stage")
    thread.start()
    found = Stage(loop)
    try:
        yield found
    finally:
        found.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@dataclass(slots=True)
class Caller:
    """One connection, used as roughly as the recordings were made."""

    port: int
    connection: socket.socket = field(init=False)
    _rest: bytes = b""

    def __post_init__(self) -> None:
        self.connection = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()

    def hang_up(self) -> None:
        self.connection.close()

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def end(self) -> None:
        """Send no more, and go on listening."""
        self.connection.shutdown(socket.SHUT_WR)

    def answer(self, *, has_body: bool = True) -> Answer:
        """The next answer; ConnectionError where the server hangs up instead."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", "0")) if has_body else 0
        while len(self._rest) < length:
            self._read()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(int(status.split(" ")[1]), headers, body)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            self._read()
        head, _, self._rest = self._rest.partition(mark)
        return head

    def _read(self) -> None:
        data = self.connection.recv(CHUNK)
        if not data:
            raise ConnectionError("the server hung up")
        self._rest += data


def request(given: Mapping[str, Json], *, version: str = "1.1") -> bytes:
    """A recorded request as bytes."""
    method, path, has_body = given["method"], given["path"], "body" in given
    body = exchanges.body(given["body"]) if has_body else b""
    recorded = given.get("headers", dict[str, Json](JSON_BODY) if has_body else {})
    assert isinstance(recorded, dict)
    headers = {"host": "127.0.0.1", **recorded}
    if "transfer-encoding" in headers:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    elif has_body:
        headers.setdefault("content-length", str(len(body)))
    lines = [f"{method} {path} HTTP/{version}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(port: int, given: Mapping[str, Json], *, version: str = "1.1") -> Answer:
    """What a server answers to a recorded request on a connection of its own."""
    with Caller(port) as caller:
        data = request(given, version=version)
        with suppress(ConnectionError):  # it answers before it has read all of a body that is too large
            caller.send(data)
        return caller.answer(has_body=given["method"] != "HEAD")


def crowd(port: int, given: Mapping[str, Json], count: int, *, until: Mapping[int, int]) -> list[Answer]:
    """What a server answers to so many equal requests at once, until so many answers of each status have come.

    The others hang up, which a server notices.
    """
    missing = Counter(until)
    answers: list[Answer] = []
    data = request(given)
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        callers = [stack.enter_context(Caller(port)) for _ in range(count)]
        for caller in callers:
            caller.send(data)
            selector.register(caller.connection, selectors.EVENT_READ, caller)
        while missing.total() > 0:
            ready = selector.select(TIMEOUT_S)
            assert ready, f"still missing {missing}"
            for key, _ in ready:
                selector.unregister(key.fileobj)
                answers.append(key.data.answer())
                missing[answers[-1].status] -= 1
            missing = +missing
    return answers
