"""Headers are read from whatever has them, and written into what can take them."""

import email.message
import os

import pytest

from nanospan import Propagation, RemoteContext, SpanContext, propagation

TRACE_ID = "7f3c9a1e5d2b48609c1d7e4fa2b60f13"
SPAN_ID = "e2c4a6180b3d5f79"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


def _ids(remote):
    assert remote.trace_id is not None
    assert remote.span_id is not None
    return remote.trace_id.hex(), remote.span_id.hex()


class OnlyGet:
    def get(self, name):
        return {"traceparent": TRACEPARENT}.get(name)


class OnlyGetAll:
    def __init__(self, **values):
        self.values = values

    def get_all(self, name):
        return self.values.get(name)

    def get(self, name):
        raise AssertionError("get_all has all values")


def _message():
    message = email.message.Message()
    message["TraceParent"] = TRACEPARENT
    return message


CARRIERS = {
    "dict": {"traceparent": TRACEPARENT},
    "dict of another case": {"TraceParent": TRACEPARENT},
    "dict of bytes": {b"traceparent": TRACEPARENT.encode()},
    "dict of lists": {"traceparent": [TRACEPARENT]},
    "pairs": [("accept", "*/*"), ("Traceparent", TRACEPARENT)],
    "lists of two": [["traceparent", TRACEPARENT]],
    "ASGI": [(b"accept", b"\xff"), (b"traceparent", TRACEPARENT.encode())],
    "gRPC metadata": (("traceparent", TRACEPARENT),),
    "WSGI": {"REQUEST_METHOD": "GET", "HTTP_TRACEPARENT": TRACEPARENT, "TRACEPARENT": "x"},
    "environment": {"PATH": "/bin", "TRACEPARENT": TRACEPARENT},
    "http.client": _message(),
    "only get": OnlyGet(),
    "only get_all": OnlyGetAll(traceparent=[TRACEPARENT]),
    "generator": (pair for pair in [("traceparent", TRACEPARENT)]),
}


@pytest.mark.parametrize("headers", CARRIERS.values(), ids=CARRIERS)
def test_headers_are_read_from_whatever_has_them(headers):
    assert _ids(propagation.extract(headers)) == (TRACE_ID, SPAN_ID)


def _library_headers():
    requests = pytest.importorskip("requests")
    httpx = pytest.importorskip("httpx")
    multidict = pytest.importorskip("multidict")
    starlette = pytest.importorskip("starlette.datastructures")
    werkzeug = pytest.importorskip("werkzeug.datastructures")
    http = pytest.importorskip("django.http.request")
    pairs = [("X-B3-TraceId", TRACE_ID), ("X-B3-SpanId", SPAN_ID)]
    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in pairs}
    return [
        requests.structures.CaseInsensitiveDict(pairs),
        httpx.Headers(pairs),
        multidict.CIMultiDict(pairs),
        multidict.CIMultiDictProxy(multidict.CIMultiDict(pairs)),
        starlette.Headers(dict(pairs)),
        starlette.MutableHeaders(dict(pairs)),
        werkzeug.Headers(pairs),
        werkzeug.EnvironHeaders(environ),
        http.HttpHeaders(environ),
    ]


def test_headers_are_read_from_the_containers_of_http_libraries():
    b3 = Propagation(extract=["b3"])
    for headers in _library_headers():
        assert _ids(b3.extract(headers)) == (TRACE_ID, SPAN_ID), type(headers)


def test_headers_are_written_into_the_containers_of_http_libraries_and_replace_their_own():
    b3 = Propagation(inject=["b3"])
    other = SpanContext(b"\x01" * 16, b"\x02" * 8, sampled=True)
    for headers in _library_headers():
        if "Proxy" in type(headers).__name__ or not hasattr(headers, "__setitem__"):
            continue
        if type(headers).__name__ in ("EnvironHeaders", "HttpHeaders"):
            continue
        assert b3.inject(headers, span=other) is headers
        again = Propagation(extract=["b3"]).extract(headers)
        assert _ids(again) == ("01" * 16, "02" * 8), type(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"traceparent": [TRACEPARENT, TRACEPARENT]},
        [("traceparent", TRACEPARENT), ("TRACEPARENT", TRACEPARENT)],
        OnlyGetAll(traceparent=[TRACEPARENT] * 2),
        {"traceparent": None},
        {"traceparent": 5, 7: TRACEPARENT},
        {},
        [],
    ],
)
def test_a_header_that_is_repeated_or_no_text_says_nothing(headers):
    assert propagation.extract(headers) == RemoteContext()


def test_a_container_that_is_asked_by_name_is_asked_once_for_each():
    headers = OnlyGetAll(traceparent=[TRACEPARENT], tracestate=["a=1", "b=2"])
    assert Propagation(extract=["w3c", "b3"]).extract(headers).trace_state == "a=1,b=2"


def test_a_variable_of_the_process_is_no_header_of_a_wsgi_request():
    environ = {"REQUEST_METHOD": "GET", "TRACEPARENT": TRACEPARENT, "PATH_INFO": "/"}
    assert propagation.extract(environ).trace_id is None


def test_the_environment_carries_a_context_into_a_child_process(monkeypatch):
    environ = propagation.inject(
        dict(os.environ),
        span=SpanContext(bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID), sampled=True),
        environ=True,
    )
    assert environ["TRACEPARENT"] == TRACEPARENT
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    assert _ids(propagation.extract(os.environ)) == (TRACE_ID, SPAN_ID)


def test_every_format_goes_through_variables_too():
    formats = ["w3c", "b3", "jaeger", "ot", "datadog", "aws", "gcp", "instana"]
    sent = SpanContext(bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID), sampled=True)
    for name in formats:
        environ = Propagation(inject=[name]).inject({}, span=sent, environ=True)
        assert all(key == key.upper() and "-" not in key for key in environ)
        remote = Propagation(extract=[name]).extract(environ)
        assert remote.span_id is not None
        assert remote.span_id.hex() == SPAN_ID, name
    lambda_environ = {"_X_AMZN_TRACE_ID": f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"}
    assert Propagation(extract=["aws"]).extract(lambda_environ).trace_id is not None


@pytest.mark.parametrize(
    "headers", [5, None, "traceparent", b"x", ["ab", 5], [(1, 2, 3)]], ids=repr
)
def test_what_is_no_carrier_raises(headers):
    with pytest.raises(TypeError, match="headers must be a mapping or an iterable of pairs, got"):
        propagation.extract(headers)


@pytest.mark.parametrize("headers", [5, "x", frozenset()])
def test_what_cannot_be_written_raises(headers):
    with pytest.raises(TypeError, match="headers must be a mapping that can be written, a list"):
        propagation.inject(headers, span=SpanContext(b"\x01" * 16, b"\x02" * 8))
