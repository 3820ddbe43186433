"""A caller is trusted as far as we say, its baggage goes no further, and a wrong option raises."""

import gc
import weakref

import pytest

from nanospan import PRESERVE, Propagation, RemoteContext, SpanContext, propagation, tracing
from support.recording import recording as recorded

pytest_plugins = ("support.plugin",)

TRACE_ID = "7f3c9a1e5d2b48609c1d7e4fa2b60f13"
SPAN_ID = "e2c4a6180b3d5f79"
TRACEPARENT = f"00-{TRACE_ID}-{SPAN_ID}-01"


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
