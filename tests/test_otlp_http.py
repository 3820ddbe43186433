"""Spans sent to a collector over HTTP: what it gets, and what its answers mean."""

import gzip
import json
import time
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

import nanospan
from nanospan import FileExporter, MemoryExporter, OtlpExporter, QueueConfig, StatusCode, tracing
from support.plain import google_spans
from support.receiver import running_receiver
from support.relay import relay
from support.reply import Accept, Answer, Garbage, HangUp, PartialSuccess, Silence, Status

pytest_plugins = ("support.plugin",)

QUEUE = QueueConfig(max_coalescing_delay=3600)
"""Nothing leaves before a flush."""


def _configure(receiver, *others, queue=QUEUE, **options):
    exporter = OtlpExporter(receiver.endpoint, **options)
    nanospan.configure(service_name="shop", exporter=[exporter, *others], queue=queue)


@pytest.fixture
def sending(receiver):
    _configure(receiver)
    return receiver


def _flush_until_sent(deadline=10.0):
    """Each flush tries again soon, where the worker by itself would wait longer and longer."""
    give_up = time.monotonic() + deadline
    while not nanospan.flush(0.1):
        assert time.monotonic() < give_up
    return True


def _names(receiver):
    return sorted(span["name"] for span in receiver.spans())


def _dropped():
    return {reason: count for reason, count in nanospan.stats()["dropped"].items() if count}


# What arrives


def test_whole_spans_arrive(receiver):
    memory = MemoryExporter()
    _configure(receiver, memory)
    for number in range(3):
        with tracing.start_as_current_span(f"GET /cart/{number}") as root:
            root.set_attributes({"k": [1, 2.5, b"x"], "n": {"a": None}})
            with tracing.start_as_current_span("SELECT") as child:
                child.add_event("row", {"n": number})
                child.add_link(root.context)
                child.set_status(StatusCode.ERROR, "why")
    assert nanospan.flush()
    assert len(receiver.spans()) == nanospan.stats()["sent"] == 6
    assert receiver.spans() == google_spans(memory._otlp())


def test_requests_say_who_sends_them_and_carry_the_headers_given(receiver):
    headers = {"Authorization": "Bearer secret", "x-tenant": "shop"}
    _configure(receiver, headers=headers)
    tracing.start_span("x").finish()
    assert nanospan.flush()
    (request,) = receiver.requests
    agent = request.headers.pop("user-agent")
    assert agent == f"OTel-OTLP-Exporter-nanospan/{nanospan.__version__} (Python)"
    assert request.headers == {
        "authorization": "Bearer secret",
        "x-tenant": "shop",
        "content-type": "application/x-protobuf",
        "content-length": str(len(request.body)),
        "host": receiver.endpoint.removeprefix("http://"),
    }


def test_a_header_may_replace_the_user_agent(receiver):
    _configure(receiver, headers={"User-Agent": "shop/1"})
    tracing.start_span("x").finish()
    assert nanospan.flush()
    assert receiver.requests[0].headers["user-agent"] == "shop/1"


def test_compressed_requests_are_smaller_and_say_so(receiver):
    _configure(receiver, compression="gzip")
    for _ in range(100):
        tracing.start_span("GET /cart", attributes={"http.route": "/cart"}).finish()
    assert nanospan.flush()
    (request,) = receiver.requests
    assert request.headers["content-encoding"] == "gzip"
    assert len(request.body) < len(gzip.decompress(request.body)) / 2
    assert len(receiver.spans()) == 100


def test_a_path_of_ones_own_is_used_as_it_is():
    with running_receiver("/otlp/shop") as receiver:
        exporter = OtlpExporter(f"{receiver.endpoint}/otlp/shop")
        nanospan.configure(service_name="shop", exporter=exporter)
        tracing.start_span("x").finish()
        assert nanospan.flush()


def test_batches_share_one_connection(sending):
    for number in range(5):
        tracing.start_span(f"{number}").finish()
        assert nanospan.flush()
    assert (len(sending.requests), sending.connections) == (5, 1)


def test_full_batches_leave_by_themselves(receiver):
    _configure(receiver, queue=QueueConfig(max_batch_size=10, max_coalescing_delay=3600))
    for _ in range(30):
        tracing.start_span("x").finish()
    assert len(receiver.wait_for(30)) == 30
    assert [len(request.spans) for request in receiver.requests] == [10, 10, 10]


# What is tried again


@pytest.mark.parametrize(
    "reply",
    [
        Status(429),
        Status(502),
        Status(503),
        Status(504),
        HangUp(after_reading=False),
        HangUp(),
        Garbage(b"220 smtp.example ESMTP\r\n"),
        Garbage(b""),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(sending, reply):
    sending.reply(reply, reply)
    tracing.start_span("x").finish()
    assert not nanospan.flush(0.1)
    assert (_dropped(), nanospan.stats()["sent"], nanospan.stats()["queued_spans"]) == ({}, 0, 1)
    assert _flush_until_sent()
    assert (_names(sending), len(sending.requests)) == (["x"], 3)
    assert (_dropped(), nanospan.stats()["sent"], nanospan.stats()["queued_spans"]) == ({}, 1, 0)


def test_tries_that_nobody_hurries_are_a_while_apart(sending):
    sending.reply(Status(503))
    tracing.start_span("x").finish()
    assert nanospan.flush(5)
    first, second = sending.requests
    assert 0.5 <= second.time - first.time < 2


def test_a_pause_that_the_collector_asks_for_is_kept_even_if_somebody_waits(sending):
    sending.reply(Status(503, retry_after="1"))
    tracing.start_span("x").finish()
    assert _flush_until_sent()
    first, second = sending.requests
    assert 1 <= second.time - first.time < 2


def test_the_pause_may_be_a_date(sending):
    # Whole seconds: between one and two from now.
    date = datetime.now(timezone.utc) + timedelta(seconds=2)
    sending.reply(Status(429, retry_after=format_datetime(date, usegmt=True)))
    tracing.start_span("x").finish()
    assert _flush_until_sent()
    first, second = sending.requests
    assert 0.9 <= second.time - first.time < 3


def test_a_silent_collector_is_given_up_after_the_timeout_and_tried_on_a_new_connection(receiver):
    _configure(receiver, timeout=0.2)
    receiver.reply(Silence(), Silence(after_reading=False), Accept(after=5), Accept(spread=5))
    tracing.start_span("x").finish()
    assert _flush_until_sent()
    assert receiver.connections == 5
    for request in receiver.requests[:4]:
        assert request.given_up is not None
        assert 0.1 < request.given_up - request.time < 1
    assert "no answer within 200ms" in nanospan.stats()["last_error"]


def test_a_slow_answer_within_the_timeout_is_waited_for(sending):
    sending.reply(Accept(after=0.3, spread=0.3))
    tracing.start_span("x").finish()
    assert nanospan.flush()
    assert (len(sending.requests), nanospan.stats()["last_error"]) == (1, None)


@pytest.mark.parametrize(
    "reply",
    [HangUp(), Garbage(b""), Garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")],
    ids=["closed by the next request", "closed without an answer", "closed after an answer"],
)
def test_a_kept_connection_that_the_server_closed_costs_no_pause(sending, reply):
    tracing.start_span("before").finish()
    assert nanospan.flush()
    sending.reply(reply)
    begun = time.monotonic()
    for name in ("a", "b"):
        tracing.start_span(name).finish()
        assert nanospan.flush()
    assert time.monotonic() - begun < 0.4
    assert nanospan.stats()["last_error"] is None
    answered = reply == Garbage(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert _names(sending) == (["b", "before"] if answered else ["a", "b", "before"])


def test_a_collector_that_comes_back_gets_what_waited(receiver):
    with relay(receiver.endpoint) as port:
        pass
    exporter = OtlpExporter(f"http://localhost:{port}")
    nanospan.configure(service_name="shop", exporter=exporter, queue=QUEUE)
    for _ in range(3):
        tracing.start_span("x").finish()
        assert not nanospan.flush(0.05)
    assert "refused" in nanospan.stats()["last_error"]
    with relay(receiver.endpoint, port=port):
        assert _flush_until_sent()
    assert len(receiver.spans()) == 3


# What is lost


@pytest.mark.parametrize("code", [400, 401, 403, 404, 408, 413, 500, 501, 505])
def test_what_would_fail_again_is_dropped_counted_and_said_once(sending, code, caplog):
    sending.reply(*[Status(code, "no such key\r\nin the\x1b[31m header")] * 3)
    for _ in range(3):
        tracing.start_span("x").finish()
        assert not nanospan.flush()
    assert (len(sending.requests), _dropped()) == (3, {"export_failed": 3})
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("nanospan", "WARNING")
    message = record.getMessage()
    assert message.startswith(f"spans were not exported: OTLP {sending.endpoint}/v1/traces: ")
    assert f"answered {code} " in message
    assert message.endswith("no such key  in the [31m header")
    assert nanospan.stats()["last_error"] in message


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed_and_their_secrets_not_told(sending, code):
    with running_receiver() as elsewhere:
        place = f"{elsewhere.endpoint}/v1/traces"
        sending.reply(Status(code, location=f"{place}?key=secret"))
        tracing.start_span("x").finish()
        assert not nanospan.flush()
        assert elsewhere.connections == 0
    assert _dropped() == {"export_failed": 1}
    last_error = nanospan.stats()["last_error"]
    assert f"answered {code} " in last_error
    assert f"to {place}?…, and redirects are not followed" in last_error


def test_while_it_waits_what_does_not_fit_is_dropped_as_whole_traces(receiver):
    receiver.reply(*[Status(503)] * 100)
    queue = QueueConfig(max_entries=20, max_batch_size=10, max_coalescing_delay=3600)
    _configure(receiver, queue=queue)
    begun = time.monotonic()
    for number in range(100):
        with tracing.start_as_current_span(f"root {number}"):
            tracing.start_span(f"child {number}").finish()
    assert time.monotonic() - begun < 1
    stats = nanospan.stats()
    assert stats["dropped"]["queue_full"] + stats["queued_spans"] == 200
    assert stats["queued_spans"] <= 20
    assert not nanospan.shutdown(0.1)
    assert sum(_dropped().values()) == nanospan.stats()["finished"] == 200


def test_a_collector_that_fails_does_not_hold_up_the_other_exporters(receiver, tmp_path):
    receiver.reply(*[Status(503, retry_after="30")] * 100)
    path = tmp_path / "traces"
    _configure(receiver, FileExporter(path), queue=QueueConfig(max_coalescing_delay=0.05))
    for number in range(5):
        tracing.start_span(f"{number}").finish()
        give_up = time.monotonic() + 5
        while not path.exists() or len(path.read_text().splitlines()) <= number:
            assert time.monotonic() < give_up
            time.sleep(0.01)
    stats = nanospan.stats()
    assert (stats["sent"], stats["queued_spans"]) == (0, 5)
    assert [len(json.loads(line)["resourceSpans"]) for line in path.read_text().splitlines()]


def test_a_collector_that_fails_for_long_leaves_room_for_the_other_exporters(receiver, tmp_path):
    receiver.reply(Status(503, retry_after="30"))
    path = tmp_path / "traces"
    queue = QueueConfig(max_entries=40, max_batch_size=5, max_coalescing_delay=3600)
    _configure(receiver, FileExporter(path), queue=queue)
    for _ in range(60):
        for _ in range(5):
            tracing.start_span("x").finish()
        nanospan.flush(0.01)
    assert path.read_text().count('"name":"x"') == 300
    assert set(_dropped()) == {"export_failed"}
    assert nanospan.stats()["queued_spans"] <= 40
    nanospan.shutdown(5)
    assert sum(_dropped().values()) == 300


# What answers say


def test_rejected_spans_are_counted_and_said_once(sending, caplog):
    sending.reply(*[PartialSuccess(2, "too old")] * 3)
    for _ in range(3):
        for _ in range(5):
            tracing.start_span("x").finish()
        assert not nanospan.flush()
    assert (nanospan.stats()["sent"], _dropped()) == (9, {"rejected": 6})
    (record,) = caplog.records
    assert record.getMessage().endswith("/v1/traces rejected 2 of 5 spans: too old")
    assert "too old" in nanospan.stats()["last_error"]


def test_a_message_without_rejected_spans_is_a_warning_and_they_are_sent(sending, caplog):
    sending.reply(PartialSuccess(0, "use gzip"))
    tracing.start_span("x").finish()
    assert nanospan.flush()
    assert (nanospan.stats()["sent"], _dropped(), nanospan.stats()["last_error"]) == (1, {}, None)
    (record,) = caplog.records
    assert record.getMessage().endswith("/v1/traces took the spans and says: use gzip")


@pytest.mark.parametrize("rejected", [-1, -(2**63), 10**9])
def test_a_number_of_rejected_spans_that_cannot_be_stays_within_what_was_sent(sending, rejected):
    sending.reply(PartialSuccess(rejected, "odd"))
    for _ in range(3):
        tracing.start_span("x").finish()
    nanospan.flush()
    lost = 3 if rejected > 0 else 0
    assert nanospan.stats()["dropped"]["rejected"] == lost
    assert nanospan.stats()["sent"] == 3 - lost


@pytest.mark.parametrize(
    "reply",
    [
        Answer(b"\xff\xff\xff"),
        Answer(b"<html>", "text/html; charset=utf-8"),
        Answer(b'{"partialSuccess": {"rejectedSpans": "1"}}', "application/json"),
        Answer(b"", ""),
    ],
    ids=str,
)
def test_an_answer_of_200_that_cannot_be_read_is_a_yes(sending, reply):
    sending.reply(reply)
    for _ in range(2):
        tracing.start_span("x").finish()
        assert nanospan.flush()
    assert (nanospan.stats()["sent"], nanospan.stats()["last_error"]) == (2, None)
    assert sending.connections == 1


def test_of_an_endless_answer_only_the_beginning_is_read(sending):
    sending.reply(Answer(b"x" * 50_000_000))
    for _ in range(2):
        tracing.start_span("x").finish()
        assert nanospan.flush()
    assert nanospan.stats()["sent"] == 2
    assert sending.connections == 2


# The default


def test_without_an_exporter_spans_go_to_the_collector_of_this_machine(receiver):
    with ExitStack() as stack:
        try:
            stack.enter_context(relay(receiver.endpoint, port=4318))
        except OSError:
            pytest.skip("port 4318 is taken")
        nanospan.configure(service_name="shop")
        tracing.start_span("x").finish()
        assert nanospan.flush()
    assert _names(receiver) == ["x"]
