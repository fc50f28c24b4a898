"""Every way in which a server that speaks HTTP can fail ends as the right error, naming server and remedy."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from processors.backends.http import BUSY_S, HttpServer, Misdeployed, at_start, retry_after_s
from processors.errors import Poison, Transient
from tests.servers import faults
from tests.servers.certificates import Authority
from tests.servers.faults import FaultServer, answer, busy, html, nobody

KEY = "s3cret-key"


def server(url: str, key: str = KEY, ca_file: Path | None = None) -> HttpServer:
    return HttpServer.parse(f"tei+{url}", setting="embedder", known=(), key=key, ca_file=ca_file)[0]


@asynccontextmanager
async def asked(at: HttpServer, answer_timeout_s: float = 0.2) -> AsyncIterator[Any]:
    import httpx

    async with httpx.AsyncClient(**at.connection(answer_timeout_s=answer_timeout_s)) as client:
        with at.translated():
            response = await client.get(at.base)
            yield response


async def failure(at: HttpServer) -> Transient:
    with pytest.raises(Transient) as raised:
        async with asked(at):
            pass
    assert at.base in raised.value.reason
    return raised.value


async def refusal(reply: faults.Reply) -> Transient:
    async with FaultServer(reply) as failing, asked(server(failing.url)) as response:
        error = server(failing.url).refusal(response.status_code, response.headers, response.content)
    assert failing.url in error.reason
    assert KEY not in error.reason
    return error


@pytest.mark.parametrize(
    "reply", [faults.HANG, faults.HANG_UP, faults.RESET, faults.truncated("x" * 99), faults.hang_amid("x" * 99)]
)
async def test_a_server_that_hangs_or_hangs_up_is_transient(reply: faults.Reply) -> None:
    async with FaultServer(reply) as failing:
        error = await failure(server(failing.url))
    assert type(error) is Transient


async def test_a_refused_connection_says_to_start_the_server_or_correct_its_address() -> None:
    error = await failure(server(nobody()))
    assert "refuses connections: is the server running, and embedder its address?" in error.reason


@pytest.mark.parametrize(
    ("reply", "wait_s"),
    [
        (busy(), BUSY_S),
        (busy(retry_after="7"), 7.0),
        (busy(503, retry_after="0.5"), 0.5),
        (busy(503, retry_after="soon"), None),
        (answer("oops", 500, "text/plain"), None),
        (html(502), None),
        (answer("", 408), None),
    ],
)
async def test_an_overloaded_or_failing_server_is_transient(reply: faults.Reply, wait_s: float | None) -> None:
    error = await refusal(reply)
    assert type(error) is Transient
    assert error.retry_after_s == wait_s


@pytest.mark.parametrize(
    ("reply", "code", "remedy"),
    [
        (answer(f"{KEY} is expired", 401, "text/plain"), "unauthorized", "*** is expired; set embedder_key"),
        (html(403), "unauthorized", "set embedder_key"),
        (answer({"error": "no"}, 404), "bad-url", "correct embedder"),
        (answer("", 301, location="https://elsewhere.test/"), "bad-url", "correct embedder"),
        (html(400), "bad-url", "It works!"),
        (answer({"error": "unknown field"}, 422), "request-refused", "unknown field"),
    ],
)
async def test_what_is_deployed_wrongly_waits_during_a_call_and_refuses_a_start(
    reply: faults.Reply, code: str, remedy: str
) -> None:
    error = await refusal(reply)
    assert isinstance(error, Misdeployed)
    assert error.code == code
    assert remedy in error.reason
    with pytest.raises(Poison) as refused, at_start():
        raise error
    assert (refused.value.code, refused.value.detail) == (code, error.reason)


async def test_a_long_answer_is_cut_to_one_line() -> None:
    error = await refusal(answer("a\n\nb" * 9999, 500))
    assert "a ba b" in error.reason
    assert len(error.reason) < 500


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry-after": " 12 "}, 12.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
        ({"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": "Sat, 21 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Sat, 21 Nov 1998 09:00:00 GMT"}, 0.0),
    ],
)
def test_a_delay_comes_in_seconds_or_as_a_date_by_the_server_s_clock(
    headers: dict[str, str], wait_s: float | None
) -> None:
    assert retry_after_s(headers) == wait_s


async def test_a_private_authority_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with FaultServer(answer("hello"), tls=authority.server()) as secure:
        async with asked(server(secure.url, ca_file=authority.ca_file), 5) as response:
            assert response.text == "hello"
        error = await failure(server(secure.url))
    assert isinstance(error, Misdeployed)
    assert "ca_file" in error.reason


@pytest.mark.parametrize(
    ("issued", "remedy"),
    [
        ({"name": "elsewhere.test"}, "write the name that it was issued for into embedder"),
        ({"name": "127.0.0.1", "expired": True}, "renew it"),
    ],
)
async def test_a_certificate_for_another_name_or_time_is_told(
    issued: dict[str, Any], remedy: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with FaultServer(answer("hello"), tls=authority.server(**issued)) as secure:
        error = await failure(server(secure.url, ca_file=authority.ca_file))
    assert isinstance(error, Misdeployed)
    assert error.code == "tls"
    assert remedy in error.reason


async def test_tls_to_a_server_without_is_told() -> None:
    async with FaultServer(answer("hello")) as plain:
        error = await failure(server(plain.url.replace("http", "https")))
    assert "write http in embedder" in error.reason


def test_a_file_that_holds_no_certificates_is_refused(tmp_path: Path) -> None:
    for name, content in (("none.pem", None), ("empty.pem", "no PEM")):
        file = tmp_path / name
        if content:
            file.write_text(content)
        with pytest.raises(Poison, match="ca_file"):
            server("https://127.0.0.1:9", ca_file=file).connection(answer_timeout_s=1)


def test_a_url_gives_the_server_and_its_options() -> None:
    known = ("prompt", "truncate")
    found, options = HttpServer.parse("tei+https://h:1/x/?prompt=&truncate=1&truncate=2", setting="e", known=known)
    assert (found.base, options) == ("https://h:1/x", {"prompt": "", "truncate": "2"})


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("tei+http://:pass@host:1", "embedder_key, not into the URL"),
        ("tei+http://host:1?apikey=pass", "no option 'apikey'; known: prompt"),
        ("tei+http://host:port", "tei"),
        ("tei+http:///x", "tei"),
        ("tei+ftp://host", "tei"),
        ("tei://host", "tei"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_repeating_secrets(url: str, problem: str) -> None:
    with pytest.raises(Poison) as refused:
        HttpServer.parse(url, setting="embedder", known=("prompt",))
    assert refused.value.code == "bad-url"
    assert problem in refused.value.detail
    assert "pass" not in refused.value.detail


@pytest.mark.parametrize("key", ["line\n", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(Poison, match="embedder_key") as refused:
        server("http://host", key=key)
    assert key not in refused.value.detail
    assert KEY not in repr(server("http://host"))
