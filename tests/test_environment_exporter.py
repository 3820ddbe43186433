"""The exporters that the `OTEL_*` environment variables ask for."""

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from unittest import mock

import pytest

import nanospan
from nanospan import ConsoleExporter, MemoryExporter, OtlpExporter, _exporter, tracing
from support.plain import google_spans
from support.process import run_python

DEFAULT = repr(OtlpExporter())


def _warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "nanospan"]


def _otlp(**variables):
    """What the variables make of the OTLP exporter, in its own words."""
    prefixed = {f"OTEL_EXPORTER_OTLP_{name}": text for name, text in variables.items()}
    (exporter,) = _exporter.exporters(prefixed)
    return repr(exporter)


@contextmanager
def _collector():
    """A server that takes every request; gives its URL and what came."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((self.path, dict(self.headers), body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        (("OTEL_EXPORTER_OTLP_ENDPOINT", ""), "/v1/traces"),
        (("OTEL_EXPORTER_OTLP_ENDPOINT", "/otlp/"), "/otlp/v1/traces"),
        (("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "/otlp/here"), "/otlp/here"),
    ],
)
def test_spans_arrive_where_the_variables_say(monkeypatch, variables, path):
    with _collector() as (url, came):
        monkeypatch.setenv(variables[0], url + variables[1])
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20secret")
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        nanospan.configure()
        tracing.start_span("x").finish()
        assert nanospan.shutdown(timeout=10)
    ((arrived_at, headers, body),) = came
    assert arrived_at == path
    assert headers["authorization"] == "Bearer secret"
    (span,) = google_spans([body])
    assert (span["name"], span["resource"]["service.name"]) == ("x", "str 'shop'")


def test_without_variables_spans_go_to_a_collector_on_this_machine(caplog):
    assert [repr(exporter) for exporter in _exporter.exporters({})] == [DEFAULT]
    assert "http://localhost:4318/v1/traces" in DEFAULT
    assert _warnings(caplog) == []


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("otlp", [OtlpExporter]),
        ("otlp_proto_http", [OtlpExporter]),
        ("console", [ConsoleExporter]),
        ("none", []),
        ("", [OtlpExporter]),
        (" , ", [OtlpExporter]),
        ("none,console", [ConsoleExporter]),
        ("Console, OTLP,console", [OtlpExporter, ConsoleExporter]),
    ],
)
def test_exporters_are_chosen_by_name(caplog, text, kinds):
    assert [type(made) for made in _exporter.exporters({"OTEL_TRACES_EXPORTER": text})] == kinds
    assert _warnings(caplog) == []


@pytest.mark.parametrize(
    ("text", "unknown", "used", "kinds"),
    [
        ("zipkin", ["zipkin"], "otlp", [OtlpExporter]),
        ("console,zipkin", ["zipkin"], "console", [ConsoleExporter]),
        ("memory,logging", ["memory", "logging"], "otlp", [OtlpExporter]),
        ("zipkin,none", ["zipkin"], "none", []),
    ],
)
def test_an_unknown_exporter_is_named_and_the_others_are_used(caplog, text, unknown, used, kinds):
    assert [type(made) for made in _exporter.exporters({"OTEL_TRACES_EXPORTER": text})] == kinds
    assert _warnings(caplog) == [
        f"OTEL_TRACES_EXPORTER={name!r} is ignored: it must be otlp, console or none; "
        f"{used} is used"
        for name in unknown
    ]


def test_the_console_is_chosen_without_a_line_of_code():
    code = """
        import nanospan
        nanospan.configure()
        with nanospan.tracing.start_as_current_span("GET /cart"):
            pass
    """
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_SERVICE_NAME": "shop"}
    with mock.patch.dict(os.environ, variables):
        completed = run_python(code)
    assert (completed.returncode, completed.stdout) == (0, "")
    assert completed.stderr.startswith("shop ")
    assert "GET /cart" in completed.stderr


def test_with_no_exporter_spans_have_ids_and_go_nowhere(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    nanospan.configure()
    with tracing.start_as_current_span("x") as span:
        assert (any(span.trace_id), span.context.sampled) == (True, True)
    assert nanospan.shutdown()


def test_exporters_in_code_count_alone(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "wrong")
    for name in ("ENDPOINT", "HEADERS", "TIMEOUT", "COMPRESSION", "PROTOCOL"):
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", "wrong")
    monkeypatch.setenv("OTEL_BSP_EXPORT_TIMEOUT", "wrong")
    memory = MemoryExporter()
    nanospan.configure(exporter=memory)
    tracing.start_span("x").finish()
    assert [span.name for span in memory.spans()] == ["x"]
    assert _warnings(caplog) == []


def test_each_setting_is_that_of_the_exporter():
    made = _otlp(
        ENDPOINT="https://collector.example:4318/",
        HEADERS="api-key=secret, x-tenant = a%3Db ",
        TIMEOUT="2500",
        COMPRESSION="None",
        PROTOCOL="HTTP/protobuf",
    )
    expected = OtlpExporter(
        "https://collector.example:4318/v1/traces",
        headers={"api-key": "secret", "x-tenant": "a=b"},
        timeout=2.5,
        compression="none",
    )
    assert made == repr(expected)


_GENERAL = {
    "ENDPOINT": "http://a",
    "HEADERS": "a=1,b=2",
    "TIMEOUT": "1000",
    "COMPRESSION": "gzip",
    "PROTOCOL": "grpc",
}
_TRACES = {
    "ENDPOINT": ("http://b/c/", OtlpExporter("http://b/c/")),
    "HEADERS": ("c=3", OtlpExporter(headers={"c": "3"})),
    "TIMEOUT": ("2000", OtlpExporter(timeout=2.0)),
    "COMPRESSION": ("none", OtlpExporter(compression="none")),
    "PROTOCOL": ("http/protobuf", OtlpExporter()),
}


@pytest.mark.parametrize("name", _TRACES)
def test_the_variable_for_traces_counts_more_than_the_general_one(caplog, name):
    text, expected = _TRACES[name]
    assert _otlp(**{name: _GENERAL[name], f"TRACES_{name}": text}) == repr(expected)
    assert _warnings(caplog) == []


_WRONG = {
    "ENDPOINT": ["localhost:4318", "ftp://a", "http://", "http://user:secret@a", "http://a:0"],
    "TIMEOUT": ["-1", "10s", "0.5", "3600001"],
    "COMPRESSION": ["deflate", "zstd", "true"],
    "HEADERS": ["alone", "=v", "a b=c", "content-length=5", "a=%0d%0aevil: yes", "a=%ff"],
}


@pytest.mark.parametrize("scope", ["", "TRACES_"])
@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in _WRONG.items() for text in texts]
)
def test_what_cannot_be_is_named_and_the_default_is_used(caplog, scope, name, text):
    assert _otlp(**{scope + name: text}) == DEFAULT
    (warning,) = _warnings(caplog)
    assert warning.startswith(f"OTEL_EXPORTER_OTLP_{scope}{name}")
    assert " is ignored: " in warning
    assert warning.endswith(" is used")


def test_a_general_variable_is_used_where_the_one_for_traces_cannot_be(caplog):
    made = _otlp(TRACES_ENDPOINT="wrong", ENDPOINT="http://a", TRACES_TIMEOUT="x", TIMEOUT="3000")
    assert made == repr(OtlpExporter("http://a/v1/traces", timeout=3.0))
    assert [text.rpartition("; ")[2] for text in _warnings(caplog)] == [
        "OTEL_EXPORTER_OTLP_ENDPOINT is used",
        "OTEL_EXPORTER_OTLP_TIMEOUT='3000' is used",
    ]


def test_the_headers_beside_a_broken_one_are_used(caplog):
    made = _otlp(HEADERS="first=1,broken,,last=%2C")
    assert made == repr(OtlpExporter(headers={"first": "1", "last": ","}))
    assert len(_warnings(caplog)) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("HEADERS", "api key=secret"),
        ("HEADERS", "secret"),
        ("HEADERS", "Bearer secret=="),
        ("HEADERS", "api-key=secret%0a"),
        ("HEADERS", "api-key=secret%ff"),
        ("ENDPOINT", "http://user:secret@a"),
        ("ENDPOINT", "htp://a?key=secret"),
    ],
)
def test_no_warning_shows_a_secret(caplog, name, text):
    assert _otlp(**{name: text}) == DEFAULT
    (warning,) = _warnings(caplog)
    assert "secret" not in warning


def test_what_is_used_instead_of_a_broken_url_is_named_without_its_secrets(caplog):
    _otlp(TRACES_ENDPOINT="wrong", ENDPOINT="http://a?key=secret")
    (warning,) = _warnings(caplog)
    assert "secret" not in warning


@pytest.mark.parametrize("protocol", ["grpc", "http/json", "GRPC", "thrift"])
def test_another_protocol_is_named_once_and_protobuf_over_http_is_used(caplog, protocol):
    made = _otlp(PROTOCOL=protocol, ENDPOINT="http://a:4317")
    assert made == repr(OtlpExporter("http://a:4317/v1/traces"))
    assert _warnings(caplog) == [
        f"OTEL_EXPORTER_OTLP_PROTOCOL={protocol!r} is ignored: it must be http/protobuf; "
        "OTLP/HTTP, for which collectors have port 4318, is used"
    ]


def test_an_exporter_named_for_grpc_is_one_for_another_protocol(caplog):
    variables = {
        "OTEL_TRACES_EXPORTER": "otlp_proto_grpc",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    assert [repr(made) for made in _exporter.exporters(variables)] == [DEFAULT]
    (warning,) = _warnings(caplog)
    assert warning.startswith("OTEL_TRACES_EXPORTER='otlp_proto_grpc' is ignored: ")


@pytest.mark.parametrize(
    ("variables", "warned"),
    [
        ({"ENDPOINT": "http://a:4317"}, "ENDPOINT"),
        ({"TRACES_ENDPOINT": "http://a:4317/x"}, "TRACES_ENDPOINT"),
        ({"ENDPOINT": "http://a:4317", "PROTOCOL": "http/protobuf"}, None),
        ({"ENDPOINT": "http://a:4317", "TRACES_ENDPOINT": "http://a:4318"}, None),
        ({"ENDPOINT": "http://a:4318/:4317"}, None),
    ],
)
def test_the_port_of_grpc_is_warned_of_unless_http_is_asked_for(caplog, variables, warned):
    _otlp(**variables)
    assert [text.partition(" ")[0] for text in _warnings(caplog)] == (
        [f"OTEL_EXPORTER_OTLP_{warned}"] if warned else []
    )


@pytest.mark.parametrize(
    ("text", "seconds", "warnings"),
    [("1", 0.001, 1), ("99", 0.099, 1), ("100", 0.1, 0), ("10000", 10.0, 0), ("0", 3600.0, 0)],
)
def test_a_timeout_is_in_milliseconds_and_one_that_looks_like_seconds_is_warned_of(
    caplog, text, seconds, warnings
):
    assert _otlp(TIMEOUT=text) == repr(OtlpExporter(timeout=seconds))
    assert len(_warnings(caplog)) == warnings
    for warning in _warnings(caplog):
        assert warning.startswith(f"OTEL_EXPORTER_OTLP_TIMEOUT={text!r} is taken as milliseconds")


@pytest.mark.parametrize(
    ("processors", "exporters", "seconds"),
    [
        ("5000", None, 5.0),
        ("20000", None, 10.0),
        ("5000", "3000", 3.0),
        ("5000", "7000", 5.0),
        ("0", "7000", 7.0),
        ("wrong", "7000", 7.0),
    ],
)
def test_the_shorter_of_two_timeouts_counts(processors, exporters, seconds):
    variables = {"OTEL_BSP_EXPORT_TIMEOUT": processors}
    if exporters:
        variables["OTEL_EXPORTER_OTLP_TIMEOUT"] = exporters
    (made,) = _exporter.exporters(variables)
    assert repr(made) == repr(OtlpExporter(timeout=seconds))
