"""Contexts written by a format's owner are read by us, and ours by the owner.

Where the two differ, docs/propagation.md says so in a row, and a test here shows it.
"""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nanospan import Propagation, RemoteContext, SpanContext
from support.header_owners import DDTRACE, OTEL, Sent, as_sent

TRACE = "7f3c9a1e5d2b48609c1d7e4fa2b60f13"
SPAN = "e2c4a6180b3d5f79"
INSTALLED = {name for name, owner in OTEL.items() if owner.is_installed()}
SHARED = sorted(INSTALLED - {"baggage"})


def _write(name: str, sent: Sent, **more: Any) -> dict[str, str]:
    ids = bytes.fromhex(sent.trace_id), bytes.fromhex(sent.span_id)
    remote = RemoteContext(trace_id_size=16, **more)
    remote = remote.replace(trace_id=ids[0], span_id=ids[1], sampled=sent.sampled)
    return Propagation(inject=[name]).inject(remote=remote)


def _extract(name: str, headers: dict[str, Any]) -> RemoteContext:
    return Propagation(extract=[name.removesuffix("-single")]).extract(headers)


def _read(name: str, headers: dict[str, Any]) -> Sent | None:
    context: SpanContext | None = _extract(name, headers).span_context
    return context and Sent(context.trace_id_hex, context.span_id_hex, context.sampled)


@pytest.mark.parametrize("name", sorted(OTEL))
def test_every_propagator_is_there_to_be_compared_with(name):
    if name not in INSTALLED:
        pytest.skip(f"{OTEL[name].module} is not installed for this Python")


def ids(digits: int) -> st.SearchStrategy[str]:
    return st.integers(1, 16**digits - 1).map(lambda number: f"{number:0{digits}x}")


sent_contexts = st.builds(Sent, ids(32), ids(16), st.booleans())


@given(st.sampled_from(SHARED), sent_contexts)
def test_opentelemetrys_propagators_read_what_we_write(name, sent):
    assert OTEL[name].read(as_sent(_write(name, sent))) == sent


@given(st.sampled_from(sorted({*SHARED} - {"ot"})), sent_contexts)
def test_we_read_what_opentelemetrys_propagators_write(name, sent):
    assert _read(name, OTEL[name].write(sent)) == sent


keys = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=10)
# OpenTelemetry takes the spaces around a value away.
plain = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=20)


@given(
    st.sampled_from(sorted(INSTALLED & {"jaeger", "baggage"})),
    st.dictionaries(keys, texts, max_size=5),
)
def test_opentelemetrys_propagators_read_our_baggage(name, baggage):
    assert (
        OTEL[name].read_baggage(_write(name, Sent(TRACE, SPAN, True), baggage=baggage)) == baggage
    )


@given(
    st.sampled_from(sorted(INSTALLED & {"jaeger", "baggage", "ot"})),
    st.dictionaries(keys, plain.map(lambda text: f"{text} é" if text < "m" else text), max_size=5),
)
def test_we_read_the_baggage_of_opentelemetrys_propagators(name, baggage):
    if name == "ot":
        baggage = {
            key: value for key, value in baggage.items() if value.isascii() and "." not in key
        }
        baggage = {key: value for key, value in baggage.items() if "-" not in key}
    headers = OTEL[name].write(Sent(TRACE, SPAN, True), baggage)
    if name == "baggage":
        headers = {name: value.replace("+", "%20") for name, value in headers.items()}
    assert _extract(name, headers).baggage == baggage


def _some(count: int) -> list[Sent]:
    chance = random.Random(5)
    sizes = [128, 64, 128, 63, 1]
    return [
        Sent(
            f"{chance.getrandbits(sizes[number % 5]) or 1:032x}",
            f"{chance.getrandbits(64) or 1:016x}",
            [True, False, None][number % 3],
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("name", DDTRACE)
def test_datadogs_tracer_reads_what_we_write(name):
    sent = [case for case in _some(60) if name == "datadog" or case.sampled is not None]
    assert DDTRACE[name].read([_write(name, case) for case in sent]) == sent


@pytest.mark.parametrize("name", DDTRACE)
def test_we_read_what_datadogs_tracer_writes(name):
    sent = [case for case in _some(60) if name == "datadog" or case.sampled is not None]
    assert [_read(name, headers) for headers in DDTRACE[name].write(sent)] == sent


def _w3c(flags: str) -> dict[str, str]:
    return {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"}


XRAY = f"Root=1-{TRACE[:8]}-{TRACE[8:]}"
YES, NO, OPEN = (Sent(TRACE, SPAN, sampled) for sampled in (True, False, None))
# The row of docs/propagation.md, the format, headers, what OpenTelemetry's propagator reads of
# them, and what we do.
DIFFERENCES = [
    ("b3-open-single", "b3-single", {"b3": f"{TRACE}-{SPAN}"}, YES, OPEN),
    ("b3-open", "b3", {"x-b3-traceid": TRACE, "x-b3-spanid": SPAN}, NO, OPEN),
    ("b3-tracestate", "b3", {"tracestate": f"b3={TRACE}-{SPAN}-1"}, None, YES),
    ("b3-loose", "b3", {"b3": f"{TRACE}-{SPAN}-7"}, NO, None),
    ("repeated", "b3", {"b3": [f"{TRACE}-{SPAN}-1"] * 2}, YES, None),
    ("jaeger-no-parent", "jaeger", {"uber-trace-id": f"{TRACE}:{SPAN}::1"}, YES, None),
    ("jaeger-encoded", "jaeger", {"uber-trace-id": f"{TRACE}%3A{SPAN}%3A0%3A1"}, None, YES),
    (
        "ot-digits",
        "ot",
        {"ot-tracer-traceid": TRACE, "ot-tracer-spanid": SPAN, "ot-tracer-sampled": "1"},
        NO,
        YES,
    ),
    ("ot-open", "ot", {"ot-tracer-traceid": TRACE, "ot-tracer-spanid": SPAN}, NO, OPEN),
    ("aws-ask", "aws", {"X-Amzn-Trace-Id": f"{XRAY};Parent={SPAN};Sampled=?"}, None, OPEN),
    ("aws-open", "aws", {"X-Amzn-Trace-Id": f"{XRAY};Parent={SPAN}"}, NO, OPEN),
    ("aws-junk", "aws", {"X-Amzn-Trace-Id": f"junk;{XRAY};Parent={SPAN};Sampled=1"}, None, YES),
    ("gcp-open", "gcp", {"x-cloud-trace-context": f"{TRACE}/{int(SPAN, 16)}"}, NO, OPEN),
    ("repeated", "w3c", {"traceparent": [*_w3c("01").values(), *_w3c("01").values()]}, YES, None),
    ("case", "aws", {"x-amzn-trace-id": f"{XRAY};Parent={SPAN};Sampled=1"}, None, YES),
]
DOCS = (Path(__file__).parents[1] / "docs" / "propagation.md").read_text()


@pytest.mark.parametrize(
    ("row", "name", "headers", "theirs", "ours"),
    DIFFERENCES,
    ids=[f"{row}-{name}" for row, name, *_ in DIFFERENCES],
)
def test_where_we_read_otherwise_than_opentelemetry_the_page_says_so(
    row, name, headers, theirs, ours
):
    assert OTEL[name].read(headers) == theirs
    assert _read(name, headers) == ours
    assert f"`{row}`" in DOCS


# The same for baggage.
BAGGAGE = [
    ("baggage-plus", "baggage", {"baggage": "a=b+c"}, {"a": "b c"}, {"a": "b+c"}),
    ("baggage-repeated", "baggage", {"baggage": ["a=1", "b=2"]}, {"a": "1"}, {"a": "1", "b": "2"}),
    ("baggage-properties", "baggage", {"baggage": "a=1;p=2"}, {"a": "1;p=2"}, {"a": "1"}),
    (
        "jaeger-plus",
        "jaeger",
        {"uber-trace-id": f"{TRACE}:{SPAN}:0:1", "uberctx-a": "b+c"},
        {"a": "b+c"},
        {"a": "b c"},
    ),
    (
        "ot-encoded",
        "ot",
        {"ot-tracer-traceid": TRACE, "ot-tracer-spanid": SPAN, "ot-baggage-a": "b%20c"},
        {"a": "b%20c"},
        {"a": "b c"},
    ),
]


@pytest.mark.parametrize(
    ("row", "name", "headers", "theirs", "ours"), BAGGAGE, ids=[row for row, *_ in BAGGAGE]
)
def test_where_we_read_baggage_otherwise_the_page_says_so(row, name, headers, theirs, ours):
    assert OTEL[name].read_baggage(headers) == theirs
    assert _extract(name, headers).baggage == ours
    assert f"`{row}`" in DOCS


def test_where_we_write_otherwise_than_opentelemetry_the_page_says_so():
    assert OTEL["jaeger"].write(YES)["uber-trace-id"].endswith(":03")
    assert _write("jaeger", YES)["uber-trace-id"].endswith(":01")
    half = Sent(TRACE[16:].rjust(32, "0"), SPAN, True)
    assert _read("ot", OTEL["ot"].write(YES)) == half
    assert _read("ot", _write("ot", YES)) == YES
    for row in ("jaeger-flags", "ot-half"):
        assert f"`{row}`" in DOCS


def test_where_we_read_otherwise_than_datadogs_tracer_the_page_says_so():
    low, parent = str(int(TRACE[16:], 16)), str(int(SPAN, 16))
    ids = {"x-datadog-trace-id": low, "x-datadog-parent-id": parent}
    half = TRACE[16:].rjust(32, "0")
    cases = {
        "datadog-priority": {**ids, "x-datadog-sampling-priority": "3"},
        "datadog-decision": {"x-datadog-sampling-priority": "0"},
        "datadog-parent": {**ids, "x-datadog-parent-id": "x"},
    }
    assert DDTRACE["datadog"].read([*cases.values()]) == [(half, SPAN, True), None, None]
    priority, decision, parent = [_extract("datadog", headers) for headers in cases.values()]
    assert (priority.trace_id, priority.warnings) == (None, ("datadog.priority",))
    assert (decision.sampled, decision.trace_id) == (False, None)
    assert parent.trace_id == bytes.fromhex(half)
    assert all(f"`{row}`" in DOCS for row in cases)
