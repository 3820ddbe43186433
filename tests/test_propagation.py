"""What came with a request is a parent, travels on, and is trusted as far as the caller says."""

import asyncio
import email.message
import gc
import os
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

import nanospan
from nanospan import (
    PRESERVE,
    AlwaysOff,
    Propagation,
    RemoteContext,
    SpanContext,
    propagation,
    tracing,
)
from support.recording import recording as recorded

pytest_plugins = ("support.plugin",)

TRACE_ID = "7f3c9a1e5d2b48609c1d7e4fa2b60f13"
SPAN_ID = "e2c4a6180b3d5f79"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"
B3 = f"{TRACE_ID}-{SPAN_ID}-1"


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


def test_what_was_extracted_is_the_parent_of_a_span(recording):
    remote = propagation.extract({"traceparent": TRACEPARENT, "tracestate": "congo=1,rojo=2"})
    with tracing.start_as_current_span("GET /", parent=remote) as span:
        assert (span.trace_id_hex, span.context.sampled) == (TRACE_ID, True)
        assert span.context.trace_state == "congo=1,rojo=2"
    assert recording.one("GET /").parent_id == bytes.fromhex(SPAN_ID)


def test_headers_that_say_nothing_begin_a_new_trace_whatever_is_active(recording):
    with tracing.start_as_current_span("consumer") as consumer:
        span = tracing.start_span("message", parent=propagation.extract({}))
        span.finish()
    assert span.trace_id != consumer.trace_id
    assert recording.one("message").parent_id is None


@pytest.mark.parametrize("sampled", [True, False])
def test_a_decision_without_ids_decides_on_the_new_trace(sampled):
    remote = Propagation(extract=["b3"]).extract({"b3": str(int(sampled))})
    with recorded(sampling_rate=0.0 if sampled else 1.0):
        assert tracing.start_span("x", parent=remote).context.sampled is sampled
        assert tracing.start_span("x", parent=remote, should_sample=True).context.sampled


def test_a_function_decorated_under_a_remote_parent_is_its_child(recording):
    remote = propagation.extract({"traceparent": TRACEPARENT})

    @tracing.start_as_current_span("work", parent=remote)
    def work():
        pass

    work()
    work()
    nanospan.flush()
    assert {span.parent_id for span in recording.spans()} == {bytes.fromhex(SPAN_ID)}


@pytest.mark.usefixtures("recording")
def test_the_active_span_is_what_is_sent():
    with tracing.start_as_current_span("GET /") as span:
        expected = f"00-{span.trace_id_hex}-{span.span_id_hex}-03"
        assert propagation.inject() == {"traceparent": expected}
        assert propagation.inject({"accept": "*/*"}) == {"accept": "*/*", "traceparent": expected}
        assert propagation.inject([("a", "b")]) == [("a", "b"), ("traceparent", expected)]
        assert propagation.inject(()) == (("traceparent", expected),)
        asgi = [(b"Traceparent", b"old"), (b"a", b"b")]
        assert propagation.inject(asgi)[1:] == [(b"traceparent", expected.encode())]
        assert propagation.inject(_message()).items() == [("traceparent", expected)]


@pytest.mark.usefixtures("recording")
def test_a_span_can_be_named_whose_context_is_sent():
    span = tracing.start_span("draft")
    for sent in (span, span.context):
        assert span.span_id_hex in propagation.inject(span=sent)["traceparent"]
    span.finish()


def test_where_nothing_is_active_nothing_is_sent():
    assert propagation.inject() == {}
    with recorded():
        assert propagation.inject({"a": "b"}) == {"a": "b"}


def test_without_a_pipeline_what_came_goes_on_as_it_came():
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "k=v;p"}
    with propagation.extract(headers).carry():
        assert propagation.inject() == headers


def test_an_unsampled_span_is_sent_as_such_and_the_random_flag_is_kept():
    headers = {"traceparent": TRACEPARENT[:-2] + "02"}
    with recorded(sampler=AlwaysOff()):
        with tracing.start_as_current_span("x", parent=propagation.extract(headers)):
            assert propagation.inject()["traceparent"].endswith("-02")
        with tracing.start_as_current_span("own"):
            assert propagation.inject()["traceparent"].endswith("-02")


@pytest.mark.usefixtures("recording")
def test_vendors_members_of_tracestate_survive_a_span():
    headers = {"traceparent": TRACEPARENT, "tracestate": "vendor=a:b;c, other@x=1"}
    with tracing.start_as_current_span("x", parent=propagation.extract(headers)):
        assert propagation.inject()["tracestate"] == "vendor=a:b;c,other@x=1"


@pytest.mark.usefixtures("recording")
def test_a_tracestate_made_by_hand_cannot_break_out_of_its_header():
    context = SpanContext(b"\x01" * 16, b"\x02" * 8, trace_state="a=1\r\nevil: 1")
    assert list(propagation.inject(span=context)) == ["traceparent"]
    with tracing.start_as_current_span("x", parent=context):
        assert list(propagation.inject()) == ["traceparent"]


def test_what_is_carried_travels_with_each_request(recording):
    headers = {"traceparent": TRACEPARENT, "baggage": "tenant=blue;ttl=5,user=%C3%A9"}
    with propagation.extract(headers).carry() as remote:
        assert remote.baggage == {"tenant": "blue", "user": "é"}
        with tracing.start_as_current_span("GET /", parent=remote):
            assert propagation.inject()["baggage"] == "tenant=blue;ttl=5,user=%C3%A9"
    assert propagation.inject() == {}
    assert recording.names() == ["GET /"]


def test_what_is_carried_without_a_trace_says_nothing_of_one(caplog):
    every = Propagation(inject=["w3c", "b3", "b3-single", "baggage"])
    with recorded(), every.extract({"baggage": "a=1"}).carry():
        assert every.inject() == {"baggage": "a=1"}
        assert every.propagate({}, lambda remote: None) == {}
    assert caplog.messages == []


def test_baggage_can_be_added_and_the_rest_keeps_its_properties():
    with propagation.extract({"baggage": "tenant=blue;ttl=5"}).carry():
        current = RemoteContext.current()
        assert current is not None
        more = current.replace(baggage={**current.baggage, "cart": "a b+c"})
        with more.carry():
            assert propagation.inject() == {"baggage": "tenant=blue;ttl=5,cart=a%20b%2Bc"}
        assert propagation.inject() == {"baggage": "tenant=blue;ttl=5"}
    assert RemoteContext.current() is None


def test_what_is_carried_goes_where_the_active_span_goes():
    async def call():
        await asyncio.sleep(0)
        return propagation.inject()

    async def serve(tenant):
        with propagation.extract({"baggage": f"tenant={tenant}"}).carry():
            return await asyncio.gather(call(), asyncio.to_thread(propagation.inject))

    async def main():
        return await asyncio.gather(*map(serve, "abc"))

    assert asyncio.run(main()) == [[{"baggage": f"tenant={tenant}"}] * 2 for tenant in "abc"]
    with RemoteContext(baggage={"a": "b"}).carry(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(propagation.inject).result() == {}


def test_a_block_that_is_entered_twice_raises():
    block = RemoteContext().carry()
    with block, pytest.raises(RuntimeError, match="entered already"):
        block.__enter__()


def test_the_answer_goes_in_the_format_of_the_request():
    gateway = Propagation(
        extract=["w3c", "b3", "jaeger"], inject=[PRESERVE], default_format="datadog"
    )
    single = {"b3": f"{TRACE_ID[16:]}-{SPAN_ID}-1"}
    with gateway.extract(single).carry():
        assert gateway.inject() == single
    own = SpanContext(bytes.fromhex("00" * 8 + TRACE_ID[16:]), b"\x02" * 8, sampled=False)
    remote = gateway.extract({"x-b3-traceid": TRACE_ID[16:], "x-b3-spanid": SPAN_ID})
    assert gateway.inject(span=own, remote=remote) == {
        "x-b3-traceid": TRACE_ID[16:],
        "x-b3-spanid": "02" * 8,
        "x-b3-sampled": "0",
    }
    assert gateway.inject(span=own) == {
        "x-datadog-trace-id": str(int(TRACE_ID[16:], 16)),
        "x-datadog-parent-id": str(0x0202020202020202),
        "x-datadog-sampling-priority": "0",
    }


def test_what_vendors_say_of_one_trace_is_not_said_of_another():
    datadog = Propagation(extract=["datadog"], inject=["datadog"])
    headers = {
        "x-datadog-trace-id": "5",
        "x-datadog-parent-id": "6",
        "x-datadog-sampling-priority": "2",
        "x-datadog-origin": "rum",
        "x-datadog-tags": "_dd.p.usr.id=7",
    }
    remote = datadog.extract(headers)
    same = SpanContext((5).to_bytes(16, "big"), b"\x01" * 8, sampled=True)
    other = SpanContext((9).to_bytes(16, "big"), b"\x01" * 8, sampled=True)
    parent = {"x-datadog-parent-id": str(0x0101010101010101)}
    assert datadog.inject(span=same, remote=remote) == headers | parent
    assert datadog.inject(span=other, remote=remote) == {
        "x-datadog-trace-id": "9",
        **parent,
        "x-datadog-sampling-priority": "1",
    }
    assert remote.replace(trace_id=other.trace_id).trace_id_size is None


def test_a_short_trace_id_is_not_the_size_of_another_trace():
    b3 = Propagation(extract=["b3"], inject=["b3-single"])
    remote = b3.extract({"b3": f"{TRACE_ID[16:]}-{SPAN_ID}-d"})
    other = SpanContext(bytes.fromhex(TRACE_ID), b"\x02" * 8, sampled=True)
    assert b3.inject(span=other, remote=remote) == {"b3": f"{TRACE_ID}-0202020202020202-1"}


def test_a_trace_that_begins_anew_has_a_link_to_the_callers(recording):
    headers = {"traceparent": TRACEPARENT, "tracestate": "a=1", "baggage": "k=v"}
    with propagation.extract(headers, trust="restart").carry() as remote:
        with tracing.start_as_current_span("GET /", parent=remote) as span:
            assert span.trace_id_hex != TRACE_ID
            assert list(propagation.inject()) == ["traceparent"]
    (link,) = recording.one("GET /").links
    assert (link.context.trace_id_hex, link.context.span_id_hex) == (TRACE_ID, SPAN_ID)


def test_the_link_to_the_caller_comes_first_among_others(recording):
    remote = propagation.extract({"traceparent": TRACEPARENT}, trust="restart")
    other = SpanContext(b"\x01" * 16, b"\x02" * 8)
    tracing.start_span("GET /", parent=remote, links=iter([other])).finish()
    links = recording.one("GET /").links
    assert [link.context.span_id_hex for link in links] == [SPAN_ID, "02" * 8]


def test_a_callers_no_is_no_decision_on_a_trace_that_begins_anew():
    headers = {"traceparent": TRACEPARENT[:-2] + "00"}
    with recorded():
        remote = propagation.extract(headers, trust="restart")
        assert tracing.start_span("x", parent=remote).context.sampled


def test_a_caller_that_is_ignored_was_never_there(recording):
    headers = {"traceparent": TRACEPARENT, "baggage": "k=v"}
    remote = propagation.extract(headers, trust="ignore")
    assert remote == RemoteContext()
    tracing.start_span("GET /", parent=remote).finish()
    assert recording.one("GET /").links == ()


def test_a_predicate_says_who_is_trusted():
    def trust(environ):
        return "continue" if environ["REMOTE_ADDR"].startswith("10.") else "restart"

    ours = Propagation(trust=trust)
    for address, trace_id in {"10.0.0.7": bytes.fromhex(TRACE_ID), "192.0.2.1": None}.items():
        environ = {
            "REQUEST_METHOD": "GET",
            "REMOTE_ADDR": address,
            "HTTP_TRACEPARENT": TRACEPARENT,
        }
        assert ours.extract(environ).trace_id == trace_id
        assert ours.extract(environ, trust="ignore").trace_id is None


def test_a_predicate_that_answers_wrongly_raises():
    with pytest.raises(ValueError, match="what trust returns must be 'continue', 'restart' or"):
        propagation.extract({}, trust=lambda _headers: "yes")  # pyright: ignore


def test_a_predicate_that_knows_its_propagation_is_collected_with_it():
    def made():
        def trust(_headers):
            return str(ours)

        ours = Propagation(trust=trust)
        return weakref.ref(trust)

    predicate = made()
    gc.collect()
    assert predicate() is None


def test_only_baggage_that_is_allowed_comes_in_and_goes_out():
    some = Propagation(
        extract=["jaeger", "baggage"], inject=["jaeger", "baggage"], baggage_keys=["tenant"]
    )
    headers = {
        "uber-trace-id": f"{TRACE_ID}:{SPAN_ID}:0:1",
        "uberctx-tenant": "a",
        "uberctx-b": "1",
    }
    remote = some.extract({**headers, "baggage": "user=1"})
    assert remote.baggage == {"tenant": "a"}
    sent = some.inject(remote=remote.replace(baggage={"tenant": "x", "user": "y"}))
    assert {name: sent[name] for name in sent if name != "uber-trace-id"} == {
        "uberctx-tenant": "x",
        "baggage": "tenant=x",
    }


def test_no_more_baggage_travels_than_the_limits_allow(caplog):
    with recorded():
        remote = propagation.extract({"baggage": ",".join(f"k{n}=v" for n in range(200))})
        propagation.extract({"baggage": "k=" + "v" * 9000})
    assert len(remote.baggage) == 180
    (warning,) = caplog.messages
    assert warning == "a request's headers could not be used as they came: baggage.too_long"
    with pytest.raises(ValueError, match="baggage must be a mapping of str to str, of 180"):
        RemoteContext(baggage={"k": "v" * 9000})


def test_baggage_cannot_break_out_of_its_headers():
    remote = RemoteContext(
        trace_id=b"\x01" * 16, span_id=b"\x02" * 8, baggage={"a\r\nb": "1", "c": "\r\nd: 1"}
    )
    every = Propagation(inject=["jaeger", "ot", "baggage"])
    for name, value in every.inject(remote=remote).items():
        assert not {"\r", "\n"} & {*name, *value}


def test_a_warning_is_logged_once_however_many_requests_there_are(caplog):
    with recorded():
        for _ in range(50):
            assert propagation.extract({"traceparent": "00-zz"}).warnings == ("w3c.malformed",)
    (line,) = caplog.messages
    assert line == "a request's headers could not be used as they came: w3c.malformed"


def test_passing_on_keeps_what_is_neither_cleared_nor_sent():
    proxy = Propagation(inject=[PRESERVE], clear=["X-Secret"])
    pairs = [(b"accept", b"a"), (b"accept", b"b"), (b"x-secret", b"1"), (b"Traceparent", b"?")]
    assert proxy.propagate(pairs[:3], lambda remote: None) == pairs[:2]
    own = SpanContext(bytes.fromhex(TRACE_ID), bytes.fromhex(SPAN_ID), sampled=True)
    expected = [*pairs[:2], (b"traceparent", TRACEPARENT.encode())]
    assert proxy.propagate(pairs, lambda remote: own) == expected


def test_passing_on_leaves_nothing_of_another_sender_beside_what_is_sent():
    ours = Propagation(
        extract=["w3c", "jaeger", "baggage"],
        inject=["w3c", "b3", "jaeger", "baggage"],
        baggage_keys=["a"],
    )
    came = {
        "traceparent": TRACEPARENT,
        "Tracestate": "not valid",
        "x-b3-flags": "1",
        "UberCtx-Old": "1",
        "baggage": "user=7",
        "b3": B3,
    }
    own = SpanContext(b"\x01" * 16, b"\x02" * 8, sampled=False)
    assert ours.propagate(came, lambda remote: own).keys() == {
        *("traceparent", "x-b3-traceid", "x-b3-spanid", "x-b3-sampled", "uber-trace-id", "b3")
    }


def test_passing_on_a_wsgi_environ_gives_one():
    environ = {"REQUEST_METHOD": "GET", "HTTP_TRACEPARENT": TRACEPARENT, "HTTP_B3": B3}
    with recorded(), tracing.start_as_current_span("proxy") as span:
        sent = Propagation(clear=["b3"]).propagate(environ, lambda remote: span)
    assert sent.keys() == {"REQUEST_METHOD", "HTTP_TRACEPARENT"}
    assert span.span_id_hex in sent["HTTP_TRACEPARENT"]


def test_what_the_callback_raises_goes_to_the_caller():
    with pytest.raises(ZeroDivisionError):
        propagation.propagate({}, lambda remote: 1 / 0)  # pyright: ignore


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"extract": ["b3-single"]}, ValueError, "extract must be names of formats to read"),
        ({"extract": "w3c"}, TypeError, "extract must be an iterable of str, got 'w3c'"),
        ({"extract": [5]}, TypeError, "extract must be an iterable of str"),
        ({"inject": ["zipkin"]}, ValueError, "inject must be names of formats to write"),
        ({"inject": None}, TypeError, "inject must be an iterable of str"),
        ({"clear": 1}, TypeError, "clear must be an iterable of str"),
        ({"default_format": PRESERVE}, ValueError, "default_format must be the name of a format"),
        ({"trust": "maybe"}, ValueError, "trust must be 'continue', 'restart' or 'ignore'"),
        ({"trust": True}, TypeError, "trust must be 'continue', 'restart' or 'ignore'"),
        ({"baggage_keys": "k"}, TypeError, "baggage_keys must be an iterable of str"),
    ],
)
def test_a_wrong_option_raises_and_says_what_is_allowed(options, error, says):
    with pytest.raises(error, match=says):
        Propagation(**options)


@pytest.mark.parametrize(
    ("facts", "error", "says"),
    [
        ({"trace_id": "ab"}, TypeError, "trace_id must be bytes, not all zero"),
        ({"span_id": bytes(8)}, ValueError, "span_id must be bytes, not all zero"),
        ({"sampled": 1}, TypeError, "sampled must be a bool or None"),
        ({"baggage": {"a": 1}}, TypeError, "baggage must be a mapping of str to str"),
        ({"baggage": 5}, TypeError, "baggage must be a mapping of str to str"),
        ({"format": "zipkin"}, ValueError, "format must be the name of a format"),
        ({"trace_id_size": 17}, ValueError, "trace_id_size must be an int from 1 to 16"),
        ({"trace_state": None}, TypeError, "trace_state must be a str"),
    ],
)
def test_a_context_made_of_wrong_facts_raises(facts, error, says):
    with pytest.raises(error, match=says):
        RemoteContext(**facts)


def test_a_wrong_span_or_remote_raises():
    with pytest.raises(TypeError, match="span must be a Span, a SpanContext or None, got"):
        propagation.inject(span=RemoteContext())  # pyright: ignore
    with pytest.raises(TypeError, match="remote must be a RemoteContext or None, got"):
        propagation.inject(remote={})  # pyright: ignore
    with pytest.raises(TypeError, match="environ must be a bool, got"):
        propagation.inject(environ=1)  # pyright: ignore
