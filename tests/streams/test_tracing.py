"""Where spans go: the local store, a collector, or nowhere without harm."""

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streams.settings import Settings
from streams.tracing import span_store, tracing


class Collector(BaseHTTPRequestHandler):
    received: list[tuple[str, str, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.received += [(self.path, names["service.name"], span.name) for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
        """Tests have nothing to log."""


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    Collector.received = []
    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_spans_are_in_the_local_store_when_the_block_has_ended(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with tracing(settings, "test") as tracer, tracer.start_as_current_span("outer"):
        tracer.start_span("inner", attributes={"headwater.query_id": "q"}).end()
    store = span_store(settings)
    [trace_id] = store.find("q")
    outer, inner = store.trace(trace_id)
    assert (outer.name, outer.service, outer.parent_id) == ("outer", "headwater-test", None)
    assert (inner.name, inner.parent_id, inner.query_id) == ("inner", outer.span_id, "q")


def test_spans_are_in_the_store_while_the_process_goes_on(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with tracing(settings, "test") as tracer:
        tracer.start_span("seen").end()
        until = time.monotonic() + 10
        while not (tmp_path / "spans.db").exists() or span_store(settings).newest() is None:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_spans_go_to_a_collector_where_the_settings_name_one(tmp_path: Path, collector: HTTPServer, path: str) -> None:
    settings = Settings(home=tmp_path, otlp_endpoint=f"http://127.0.0.1:{collector.server_port}{path}")
    with tracing(settings, "test") as tracer:
        tracer.start_span("work").end()
    assert Collector.received == [("/v1/traces", "headwater-test", "work")]
    assert not (tmp_path / "spans.db").exists()


def test_a_lost_collector_disturbs_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.tracing.EXPORT_S", 0.2)
    with tracing(Settings(home=tmp_path, otlp_endpoint="http://127.0.0.1:9"), "test") as tracer:
        tracer.start_span("lost").end()


def test_a_disk_that_cannot_be_written_disturbs_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "spans.db").mkdir()
    with tracing(Settings(home=tmp_path), "test") as tracer:
        tracer.start_span("lost").end()
    assert "spans dropped" in caplog.text
