"""What TEI's ports make of a server that fails: an outage waits, wrong settings refuse to start, both with a remedy."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from processors.backends.tei.ports import TeiEmbedder
from processors.errors import Poison, Transient
from tests.processors.backends.tei.scripted import (
    KINDS,
    PATIENCE_S,
    SILENCE_S,
    Kind,
    failed,
    info,
    opened,
    overloaded,
    serving,
)
from tests.servers.certificates import Authority
from tests.servers.faults import (
    HANG,
    HANG_UP,
    RESET,
    FaultServer,
    Reply,
    Step,
    answer,
    busy,
    cut_json,
    hang_amid,
    html,
    nobody,
    truncated,
)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


OUTAGES: dict[str, tuple[Reply, str]] = {
    "hangs before the answer": (HANG, "did not answer in time"),
    "hangs amid the answer": (hang_amid([[0.6, 0.8]]), "did not answer in time"),
    "hangs up": (HANG_UP, "is the server running"),
    "resets": (RESET, "is the server running"),
    "breaks off": (truncated([[0.6, 0.8]]), "is the server running"),
    "500": (answer("oops", 500, "text/plain"), "answers 500: oops; see the server's log"),
    "503": (answer({"error": "unhealthy", "error_type": "Unhealthy"}, 503), "answers 503"),
    "busy": (busy(), "too much to do"),
    "overloaded": (overloaded(), "Model is overloaded; it has too much to do"),
    "HTML": (html(), "no JSON: <!DOCTYPE html>.*correct {setting}"),
    "HTML of a proxy": (html(502), "answers 502"),
    "cut JSON": (cut_json([[0.6, 0.8]]), "no JSON"),
    "NaN in JSON": (answer(b"[[NaN, 1.0]]"), "no JSON"),
    "empty": (answer(b""), "no JSON"),
    "expired key": (answer(b"", 401), "set {setting}_key"),
    "forbidden": (answer(b"", 403), "set {setting}_key"),
    "moved": (answer(b"", 307, location="http://elsewhere"), "correct {setting}"),
    "gone": (answer(b"", 404), "correct {setting}"),
    "wrong request": (answer("Failed to deserialize the JSON body", 422, "text/plain"), "check {setting}"),
    "smaller lists": (failed("Validation", "batch size 1 > maximum allowed batch size 0", 422), "batch size 1 >"),
    "smaller lists, before 1.9": (failed("Validation", "batch size 1 > maximum", 413), "batch size 1 >"),
    "an object": (answer({}), "something other"),
    "text": (answer('"fine"'), "something other"),
    "nothing": (answer([]), "something other"),
    "too many": (answer([[0.6, 0.8], [0.6, 0.8]]), "something other"),
    "numbers": (answer([1.0]), "something other"),
    "words": (answer([["a", "b"]]), "no number|something other"),
    "the model fails": (failed("Backend", "CUDA out of memory"), "fails for every text.*CUDA out of memory.*its log"),
    "the tokenizer fails": (failed("Tokenizer", "bad state", 422), "fails for every text.*bad state"),
}


@pytest.mark.parametrize("fault", OUTAGES)
async def test_an_outage_under_way_waits_and_says_where_and_what_to_do(kind: Kind, fault: str) -> None:
    reply, says = OUTAGES[fault]
    wait_s = SILENCE_S if "hangs " in fault else PATIENCE_S
    async with serving(kind, reply) as server, opened(kind, server.url, wait_s=wait_s) as port:
        with pytest.raises(Transient, match=says.format(setting=kind.setting)) as raised:
            await kind.ask(port)
        assert server.url in raised.value.reason


async def test_a_server_that_is_gone_waits(kind: Kind) -> None:
    async with serving(kind) as server:
        port = kind.make(f"tei+{server.url}")
        await port.open()
    try:
        with pytest.raises(Transient, match=f"{server.url} refuses connections: is the server running"):
            await kind.ask(port)
        with pytest.raises(Transient, match="refuses connections"):
            await port.check()
        with pytest.raises(Transient, match="refuses connections"):
            await port.healthy()
    finally:
        await port.close()


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (overloaded(), 0.5),
        (overloaded(retry_after="7"), 7.0),
        (overloaded(retry_after="Sat, 21 Nov 2026 10:00:09 GMT", date="Sat, 21 Nov 2026 10:00:00 GMT"), 9.0),
        (busy(retry_after="3"), 3.0),
        (busy(503, retry_after="4"), 4.0),
        (busy(503), None),
    ],
)
async def test_the_time_that_a_busy_server_asks_for_is_kept(reply: Reply, wait_s: float | None) -> None:
    kind = KINDS["embedder"]
    async with serving(kind, reply) as server, opened(kind, server.url) as port:
        with pytest.raises(Transient) as raised:
            await kind.ask(port)
    assert raised.value.retry_after_s == wait_s


START: dict[str, tuple[Reply, str, str]] = {
    "a web page": (html(), "bad-answer", "correct {setting}"),
    "not TEI": (answer({"status": "ok"}), "bad-answer", "not what text-embeddings-inference says"),
    "a proxy's own refusal": (failed("Backend", "no"), "request-refused", "check {setting}"),
    "nothing there": (answer(b"", 404), "bad-url", "correct {setting}"),
    "no key": (answer(b"", 401), "unauthorized", "set {setting}_key"),
    "a classifier": (
        answer(info("mean", model_type={"classifier": {"id2label": {}, "label2id": {}}})),
        "wrong-model",
        "kind is classifier; {setting} needs",
    ),
}


@pytest.mark.parametrize("fault", START)
async def test_wrong_settings_refuse_to_start(kind: Kind, fault: str) -> None:
    reply, code, says = START[fault]
    async with FaultServer(reply) as server:
        with pytest.raises(Poison, match=says.format(setting=kind.setting)) as raised:
            async with opened(kind, server.url):
                pass
        assert raised.value.code == code
        assert server.url in raised.value.detail


@pytest.mark.parametrize("reply", [HANG, busy(), answer("oops", 500, "text/plain"), overloaded()])
async def test_a_server_that_is_not_ready_is_waited_for_at_the_start(kind: Kind, reply: Reply) -> None:
    async with FaultServer(reply) as server:
        with pytest.raises(Transient, match=server.url):
            async with opened(kind, server.url, wait_s=SILENCE_S if reply == HANG else PATIENCE_S):
                pass
    with pytest.raises(Transient, match="is the server running"):
        async with opened(kind, nobody()):
            pass


@pytest.mark.parametrize("name", ["127.0.0.1", "elsewhere.test"])
async def test_a_certificate_for_another_name_or_of_an_unknown_authority_refuses_to_start(
    kind: Kind, name: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    known = name != "127.0.0.1"
    async with serving(kind, tls=authority.server(name)) as server:
        with pytest.raises(Poison, match="was issued for" if known else "ca_file") as raised:
            async with opened(kind, server.url, ca_file=authority.ca_file if known else None):
                pass
        assert raised.value.code == "tls"


async def test_a_certificate_that_is_exchanged_for_a_wrong_one_waits(kind: Kind, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.server()
    good = answer(kind.good)
    async with (
        serving(kind, [*good, Step.HANG_UP], good, tls=tls) as server,
        opened(kind, server.url, ca_file=authority.ca_file) as port,
    ):
        await kind.ask(port)
        tls.load_cert_chain(*authority.issue("elsewhere.test"))
        with suppress(Transient):  # that the old connection is gone may be known by now, or not
            await kind.ask(port)
        with pytest.raises(Transient, match=f"{server.url} .*not trusted.*issued for into {kind.setting}"):
            await kind.ask(port)


async def test_another_model_behind_the_same_address_is_noticed_on_the_first_new_connection(kind: Kind) -> None:
    good = answer(kind.good)
    async with serving(kind, [*good, Step.HANG_UP], good) as server, opened(kind, server.url) as port:
        await kind.ask(port)
        server.on("/info", answer(info(kind.pooling, model_id="org/other")), answer(info(kind.pooling)))
        with pytest.raises(
            Transient, match=f"{server.url} serves 'org/other.* served 'org/model.* start that one again"
        ):
            await kind.ask(port)
        await kind.ask(port)


async def test_a_doubt_about_the_model_outlives_the_call_that_had_it(kind: Kind) -> None:
    good, slow = answer(kind.good), [0.1, *answer(kind.good)]
    async with serving(kind, slow, slow, busy(500), good) as server, opened(kind, server.url) as port:
        await asyncio.gather(kind.ask(port), kind.ask(port))  # two connections, whose model is known
        with pytest.raises(Transient):
            await kind.ask(port)
        server.on("/info", HANG, answer(info(kind.pooling, model_id="org/other")))
        asked = asyncio.ensure_future(kind.ask(port))
        await asyncio.sleep(0.1)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        with pytest.raises(Transient, match="serves 'org/other"):
            await kind.ask(port)


async def test_every_request_says_whether_to_truncate_and_carries_the_key(kind: Kind) -> None:
    async with serving(kind, answer(kind.good)) as server, opened(kind, server.url, key="s3cret") as port:
        await kind.ask(port)
        sent = [request.json() for request in server.requests if request.path == kind.path]
        keys = {request.headers["authorization"] for request in server.requests}
    assert [request["truncate"] for request in sent] == [True] * kind.probes + [False]
    assert keys == {"Bearer s3cret"}


async def test_a_key_that_a_server_repeats_stays_out_of_the_message(kind: Kind) -> None:
    repeats = answer("you sent Bearer s3cret", 401, "text/plain")
    async with serving(kind, repeats) as server, opened(kind, server.url, key="s3cret") as port:
        with pytest.raises(Transient) as raised:
            await kind.ask(port)
    assert "s3cret" not in raised.value.reason


async def test_a_cancelled_call_hangs_up(kind: Kind) -> None:
    async with serving(kind, HANG) as server, opened(kind, server.url) as port:
        asked = asyncio.ensure_future(kind.ask(port))
        await asyncio.sleep(0.1)
        asked.cancel()
        with suppress(asyncio.CancelledError):
            await asked
        await asyncio.wait_for(server.hung_up.wait(), 5)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("tei+http://host:8080?query_prompt=q", "no option 'query_prompt'; known: query_prompt_name, "),
        ("tei+http://", "write tei\\+http://host:port"),
        ("tei+http://host:http", "write tei\\+http://host:port"),
    ],
)
def test_a_url_that_cannot_work_is_refused(url: str, says: str) -> None:
    with pytest.raises(Poison, match=says):
        TeiEmbedder(url)


async def test_calls_before_open_and_after_close_wait(kind: Kind) -> None:
    port = kind.make("tei+http://127.0.0.1:1")
    with pytest.raises(Transient, match=f"the {kind.setting} at http://127.0.0.1:1 is not open"):
        await kind.ask(port)
    await port.close()
    await port.close()
