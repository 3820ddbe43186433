"""Laws of propagation.

1. Whatever is in headers, reading raises nothing, and what is written of it is printable ASCII.
2. What a format can carry is read back as it was written.
3. What was read and written once does not change when it is read and written again.
4. The short way of a call leads to the same place as the long one.
"""

from hypothesis import example, given
from hypothesis import strategies as st

from nanospan import Propagation, RemoteContext, propagation, tracing
from support.recording import recording

FORMATS = ("w3c", "b3", "b3-single", "jaeger", "ot", "datadog", "aws", "gcp", "instana")
READERS = ["w3c", "b3", "jaeger", "ot", "datadog", "aws", "gcp", "instana"]
NAMES = (
    *("traceparent", "tracestate", "baggage", "b3", "x-b3-traceid", "x-b3-spanid", "uber-trace-id"),
    *("x-b3-parentspanid", "x-b3-sampled", "x-b3-flags", "uberctx-k", "uberctx-", "ot-baggage-k"),
    *("ot-tracer-traceid", "ot-tracer-spanid", "ot-tracer-sampled", "x-datadog-trace-id"),
    *("x-datadog-parent-id", "x-datadog-sampling-priority", "x-datadog-tags", "x-datadog-origin"),
    *("x-amzn-trace-id", "x-cloud-trace-context", "x-instana-t", "x-instana-s", "x-instana-l"),
    *("HTTP_TRACEPARENT", "X_B3_TRACEID", "REQUEST_METHOD"),
)

TRACE = "7f3c9a1e5d2b48609c1d7e4fa2b60f13"
SPAN = "e2c4a6180b3d5f79"
# Pieces of which headers are made, so that some of what is put together is nearly right.
PIECES = (
    *("00", "ff", "cc", "-", ":", "/", ";", "=", ",", "%", "+", " ", "\t", "0", "1", "d", "o=1"),
    *(TRACE, TRACE[16:], SPAN, "0" * 32, "0" * 16, "16340367970204999545", "Root=1-", "Parent="),
    *("Sampled=", "_dd.p.tid=", "_dd.p.dm=-4", "a=1", "b3=", "true", "%3A", "%FF", "é", "\x00"),
    *("\r\n", "\ud800"),
)

near = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
values = st.one_of(near, st.text(max_size=80), st.binary(max_size=80))
names = st.one_of(st.sampled_from(NAMES), st.text(max_size=12), st.binary(max_size=12))
anything = st.one_of(values, st.lists(values, max_size=3), st.none(), st.integers())
carriers = st.one_of(
    st.dictionaries(names, anything, max_size=12), st.lists(st.tuples(names, anything), max_size=12)
)
readers = st.permutations([*READERS, "baggage"])


@given(carriers, readers, st.sampled_from(["continue", "restart"]))
@example({"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "a=\r\n"}, READERS, "continue")
def test_no_header_raises_and_none_is_written_that_could_not_be_sent(headers, extract, trust):
    every = Propagation(extract=extract, inject=[*FORMATS, "baggage"], trust=trust)
    remote = every.extract(headers)
    for name, value in every.inject(remote=remote).items():
        assert name.isascii()
        assert value.isascii()
        assert f"{name}{value}".isprintable(), (name, value)
    every.propagate(headers, lambda remote: None)


def ids(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).filter(any)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tokens = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1, max_size=10)
contexts = st.fixed_dictionaries(
    {
        "trace_id": st.one_of(ids(16), ids(8)),
        "span_id": ids(8),
        "parent_id": st.none() | ids(8),
        "sampled": st.none() | st.booleans(),
        "baggage": st.dictionaries(tokens, texts, max_size=4),
    }
)

# What a format cannot say, and what stands for it.
UNKNOWN_IS_NO = {"w3c", "jaeger", "aws", "gcp"}
UNKNOWN_IS_YES = {"instana"}
WITH_BAGGAGE = {"jaeger", "ot"}
WITH_PARENT = {"b3", "b3-single", "jaeger"}
OF_ONE_SIZE = {"w3c", "aws", "gcp", "datadog"}


def carried(name: str, facts: dict) -> dict:
    """What is left of a context in a format."""
    sampled = facts["sampled"]
    if sampled is None and name in UNKNOWN_IS_NO | UNKNOWN_IS_YES:
        sampled = name in UNKNOWN_IS_YES
    parent_id = facts["parent_id"] if name in WITH_PARENT else None
    if name == "b3-single" and sampled is None:
        parent_id = None
    return {
        "trace_id": facts["trace_id"].rjust(16, b"\0"),
        "span_id": facts["span_id"],
        "parent_id": parent_id,
        "sampled": sampled,
        "baggage": facts["baggage"] if name in WITH_BAGGAGE else {},
    }


@given(st.sampled_from(FORMATS), contexts)
def test_what_a_format_can_carry_is_read_back_as_it_was_written(name, facts):
    size = None if name in OF_ONE_SIZE else len(facts["trace_id"])
    remote = RemoteContext(trace_id_size=size, **facts)
    headers = Propagation(inject=[name]).inject(remote=remote)
    read = Propagation(extract=[name.removesuffix("-single")]).extract(headers)
    assert read.warnings == ()
    assert {key: getattr(read, key) for key in facts} == carried(name, facts)
    if size:
        assert read.trace_id_size == size


@given(st.dictionaries(tokens, texts, max_size=6))
def test_baggage_is_read_back_as_it_was_written(baggage):
    both = Propagation()
    headers = both.inject(remote=RemoteContext(baggage=baggage))
    assert both.extract(headers).baggage == baggage


@given(carriers, st.sampled_from(READERS))
def test_what_was_written_once_is_written_again_as_it_is(headers, name):
    one = Propagation(extract=[name, "baggage"], inject=[name, "baggage"])
    first = one.inject(remote=one.extract(headers))
    second = one.inject(remote=one.extract(first))
    assert second == first


@given(st.dictionaries(names, anything, max_size=12), st.dictionaries(tokens, texts, max_size=3))
def test_a_call_by_place_is_the_call_by_name(headers, baggage):
    remote = propagation.extract(headers)
    assert remote == propagation.extract(headers=headers)
    with recording(), remote.replace(baggage=baggage).carry():
        with tracing.start_as_current_span("x", parent=remote):
            assert propagation.inject() == propagation.inject(headers=None)
            assert propagation.inject({}) == propagation.inject(headers={})
