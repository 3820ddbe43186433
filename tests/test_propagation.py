"""What came with a request is the parent of a span, and travels on."""

import asyncio
import email.message
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


def _message():
    message = email.message.Message()
    message["TraceParent"] = TRACEPARENT
    return message


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


@pytest.mark.parametrize("sampled", [None, True, False])
def test_a_trace_id_without_a_span_id_goes_on_without_a_parent(sampled):
    header = f"Root=1-{TRACE_ID[:8]}-{TRACE_ID[8:]}"
    if sampled is not None:
        header += f";Sampled={int(sampled)}"
    remote = Propagation(extract=["aws"]).extract({"x-amzn-trace-id": header})
    with recorded(sampling_rate=0.0 if sampled else 1.0) as recording:
        with tracing.start_as_current_span("GET /", parent=remote) as span:
            assert (span.trace_id_hex, span.parent_id) == (TRACE_ID, None)
            assert span.context.sampled is (sampled is not False)
            tracing.start_span("child").finish()
        assert len(recording.spans()) == (0 if sampled is False else 2)


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
