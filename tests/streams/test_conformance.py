"""A server under test is let go of, whatever it said."""

import pytest

from processors.backends.http import HttpServer
from processors.backends.tei.server import TeiServer
from processors.errors import Transient
from streams.conformance import NotGuessed, opened
from streams.settings import Settings
from tests.servers.faults import FaultServer, Reply, answer, busy


@pytest.mark.parametrize(
    ("reply", "raised"), [(answer({"no": "TEI"}), NotGuessed), (busy(503), Transient)], ids=["not TEI", "away"]
)
async def test_a_server_that_does_not_open_is_let_go_of(
    reply: Reply, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[TeiServer] = []
    closed: list[TeiServer] = []
    begin, close = TeiServer.__init__, TeiServer.close

    def begun(server: TeiServer, http: HttpServer, **options: object) -> None:
        started.append(server)
        begin(server, http, **options)  # type: ignore[arg-type]

    async def ended(server: TeiServer) -> None:
        closed.append(server)
        await close(server)

    monkeypatch.setattr(TeiServer, "__init__", begun)
    monkeypatch.setattr(TeiServer, "close", ended)
    async with FaultServer(reply) as server:
        with pytest.raises(raised):
            async with opened(Settings(), f"tei+{server.url}", None, ""):
                raise AssertionError("it opened")
    assert started
    assert closed == started
