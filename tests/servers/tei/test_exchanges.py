"""The stand-in held to everything that a real TEI 1.9.3 was recorded to answer."""

from collections.abc import Iterator, Mapping

import httpx
import pytest

from tests.servers.tei import exchanges, test_life, test_load
from tests.servers.tei.exchanges import Answer, Json, counters, differences
from tests.servers.tei.replay import TIMEOUT_S, Caller, Stage, ask, crowd, request

EXCHANGES = {str(each["name"]): each for each in exchanges.load()}

MINILM = "--model-id minilm"

CROWDS: Mapping[str, tuple[int, Mapping[int, int]]] = {
    "overload_embed_single_200": (64, {200: 1, 429: 1}),
    "overload_embed_single_429": (64, {200: 1, 429: 1}),
    "overload_openai_single_200": (64, {200: 1, 429: 1}),
    "overload_openai_single_429": (64, {200: 1, 429: 1}),
    "overload_tokenize_200": (64, {200: 64}),
    "overload_batches_of_32_limit_64_200": (8, {200: 1, 429: 6}),
    "overload_batches_of_32_limit_64_429": (8, {429: 6}),
    "default_limit_18_batches_of_32": (18, {429: 2}),
}
"""Recorded among so many equal requests at once; of which this many answers are awaited, by status."""

COUNTERS = ("metrics", "apikey_metrics_open", "reranker_metrics", "overload_rerank_metrics")
"""Recorded after nothing but the exchanges above them: the figures are the same, too."""
COUNTER_NAMES = ("overload_metrics", "backend_error_metrics")
"""Recorded after crowds, whose number the stand-in's test does not repeat."""

ELSEWHERE = {
    "embed_payload_huge": test_load.test_a_body_far_over_the_limit_is_not_read_to_its_end,
    "classifier_nan_predict": test_life.test_what_aborts_tei_aborts_the_process,
    "embed_ids_out_of_vocab": test_life.test_what_aborts_tei_aborts_the_process,
    "embed_ids_out_of_vocab_cls_pooling": test_life.test_what_aborts_tei_aborts_the_process,
    "health_flood_while_busy": test_life.test_eight_health_checks_while_it_computes_abort_the_process_and_seven_do_not,
    "health_probe_count_that_kills": (
        test_life.test_eight_health_checks_while_it_computes_abort_the_process_and_seven_do_not
    ),
    "loading_before_ready": test_life.test_the_port_is_bound_when_the_model_is_ready,
    "loading_first_answer": test_life.test_the_port_is_bound_when_the_model_is_ready,
    "sigterm_in_flight_request": test_life.test_sigterm_lets_what_is_in_flight_finish_and_nobody_in,
    "sigterm_new_connection": test_life.test_sigterm_lets_what_is_in_flight_finish_and_nobody_in,
    "sigterm_idle": test_life.test_sigterm_ends_an_idle_server_at_once,
    "health_under_load": test_load.test_health_answers_under_load,
    "half_closed_by_client": test_load.test_a_caller_who_ends_sending_counts_as_gone,
    "idle_100_seconds": test_load.test_slow_and_idle_callers_are_waited_for,
    "cancelled_by_client": test_load.test_a_caller_who_hangs_up_gives_all_permits_back,
    "backend_error_hits_batch_mates": test_load.test_a_text_that_fails_takes_its_batch_along,
}
"""Recorded with a process that ends, or from several callers who do different things."""

WIRE = ("wire_bad_request_line", "wire_body_shorter_than_content_length", "wire_http2_prior_knowledge")
"""Bytes that `request` does not make."""

SINGLY = sorted(EXCHANGES.keys() - CROWDS.keys() - ELSEWHERE.keys() - {*COUNTERS, *COUNTER_NAMES, *WIRE})


def test_each_recorded_exchange_has_its_test() -> None:
    parts = (SINGLY, CROWDS, COUNTERS, COUNTER_NAMES, ELSEWHERE, WIRE)
    assert sum(map(len, parts)) == len(EXCHANGES) == 266


@pytest.mark.parametrize("name", SINGLY)
def test_the_answer_is_the_recorded_one(name: str, stand_ins: Stage) -> None:
    server = stand_ins.server(_text(EXCHANGES[name], "server"))
    answer = ask(server.port, _request(name), version="1.0" if name == "wire_http10" else "1.1")
    assert not differences(answer, _answer(name))


@pytest.mark.parametrize("name", CROWDS)
def test_in_a_crowd_one_answer_is_the_recorded_one(name: str, stand_ins: Stage) -> None:
    count, until = CROWDS[name]
    server = stand_ins.server(_text(EXCHANGES[name], "server"))
    answers = crowd(server.port, _request(name), count, until=until)
    assert {answer.status for answer in answers} <= {200, 429}
    recorded = [answer for answer in answers if answer.status == _answer(name)["status"]]
    assert recorded
    assert not [each for answer in recorded for each in differences(answer, _answer(name))]


@pytest.mark.parametrize("name", [*COUNTERS, *COUNTER_NAMES])
def test_metrics_count_as_recorded_after_the_same_requests(name: str, stand_ins: Stage) -> None:
    server = stand_ins.fresh(_text(EXCHANGES[name], "server"))
    for before in _before(name):
        ask(server.port, _request(before))
    answer = ask(server.port, _request(name))
    assert not differences(answer, _answer(name))
    recorded = _answer(name)["body"]
    assert isinstance(recorded, dict)
    if name in COUNTERS:
        assert counters(answer.body.decode()).items() >= _figures(recorded["of"]).items()


@pytest.mark.parametrize("data", [b"BAD\r\n\r\n", b"BAD / \r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n"])
def test_a_bad_request_line_is_answered_as_recorded(data: bytes, stand_ins: Stage) -> None:
    with Caller(stand_ins.server(MINILM).port) as caller:
        caller.send(data)
        assert not differences(caller.answer(), _answer("wire_bad_request_line"))


def test_a_body_that_ends_early_is_answered_as_recorded(stand_ins: Stage) -> None:
    with Caller(stand_ins.server(MINILM).port) as caller:
        caller.send(request(_request("wire_body_shorter_than_content_length")))
        caller.end()
        assert not differences(caller.answer(), _answer("wire_body_shorter_than_content_length"))


def test_http2_is_spoken_from_the_first_byte(stand_ins: Stage) -> None:
    url = f"http://127.0.0.1:{stand_ins.server(MINILM).port}"
    with httpx.Client(http1=False, http2=True, base_url=url, timeout=TIMEOUT_S) as client:
        health = _heard(client.get("/health"))
        assert not differences(health, _answer("wire_http2_prior_knowledge"))
        # Not recorded, but answered as well, it is noted there: longer than what a stream may send at once.
        texts = [f"text {number}" for number in range(32)]
        answers = [client.post("/embed", json={"inputs": texts}) for _ in range(2)]
        assert [len(vector) for answer in answers for vector in answer.json()] == [384] * 64
        refused = client.post("/embed", json={"inputs": ""})
        assert not differences(_heard(refused), _answer("embed_empty_string"))


def _heard(response: httpx.Response) -> Answer:
    assert response.http_version == "HTTP/2"
    return Answer(response.status_code, response.headers, response.content)


def _before(name: str) -> Iterator[str]:
    """The exchanges recorded with the same server before this one."""
    for each, exchange in EXCHANGES.items():
        if each == name:
            return
        if exchange["server"] == EXCHANGES[name]["server"] and "answer" in exchange:
            yield each


def _request(name: str) -> Mapping[str, Json]:
    found = EXCHANGES[name]["request"]
    assert isinstance(found, dict)
    return found


def _answer(name: str) -> Mapping[str, Json]:
    found = EXCHANGES[name]["answer"]
    assert isinstance(found, dict)
    return found


def _text(exchange: Mapping[str, Json], key: str) -> str:
    found = exchange[key]
    assert isinstance(found, str)
    return found


def _figures(given: Json) -> dict[str, Json]:
    assert isinstance(given, dict)
    return given
