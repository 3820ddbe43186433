"""What programs give to the OpenTelemetry API, mistakes included, as Hypothesis strategies."""

import array
import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)


class Mute:
    """An object without words of its own."""


class Told:
    """An object with `__str__`."""

    def __str__(self) -> str:
        return "told by __str__"


class Shown:
    """An object with `__repr__` only."""

    def __repr__(self) -> str:
        return "shown by __repr__"


class Text(str):
    """A `str` of a class of its own."""

    __slots__ = ()


class Outer:
    """Somewhere to nest an exception."""

    class InnerError(Exception):
        """Its name has a dot."""


MUTE = Mute()

times = st.integers(0, 10**12)
"""Unix times in nanoseconds, long past, so that they are not taken for readings of the clock."""

names = st.sampled_from(["a", "b", "ünïcödé", "", "record only", "bare", "drop"])
kinds = st.sampled_from(SpanKind)

good_keys = st.sampled_from(["a", "b", "c", "d", "ключ"])
bad_keys = st.sampled_from(["", None, 0, 1, False, b"k", (), (1,), MUTE, Told(), Shown(), Text("")])
keys = st.one_of(good_keys, good_keys, good_keys, bad_keys)

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 300),
    st.sampled_from([2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**30]),
    st.floats(),
    st.text(max_size=12),
    st.binary(max_size=6),
)
_odd = st.sampled_from(
    [
        MUTE,
        Told(),
        Shown(),
        Mute,
        ValueError("boom"),
        1j,
        frozenset({1}),
        HTTPStatus.OK,
        Text("a text of its own class"),
        bytearray(b"ab"),
        memoryview(b"ab"),
        range(3),
        deque([1, "a"]),
        array.array("i", [1, 2]),
        MappingProxyType({"a": 1, 2: "b"}),
    ]
)
_leaves = st.one_of(_scalars, _scalars, _scalars, _odd)
values = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=6,
)
attributes = st.dictionaries(keys, values, max_size=4)
maybe_attributes = st.none() | attributes

trace_states = st.sampled_from([None, TraceState(), TraceState([("a", "1"), ("vendor", "x y")])])
flags = st.sampled_from([0, 1, 2, 3, 0xFF]).map(TraceFlags)


def _span_contexts(trace_ids: list[int], span_ids: list[int]) -> st.SearchStrategy[SpanContext]:
    return st.builds(
        SpanContext,
        trace_id=st.sampled_from(trace_ids),
        span_id=st.sampled_from(span_ids),
        is_remote=st.booleans(),
        trace_flags=flags,
        trace_state=trace_states,
    )


_valid = _span_contexts([1, 2**64 + 2**63, 2**128 - 1], [2**32, 2**64 - 1])
_zero = st.just(INVALID_SPAN_CONTEXT) | _span_contexts([0, 1], [0]) | _span_contexts([0], [1])
_too_large = _span_contexts([2**128], [1]) | _span_contexts([1], [2**64])

span_contexts = st.one_of(_valid, _valid, _zero, _too_large)
linked_contexts = st.one_of(_valid, _valid, _zero)
"""No ids that are too large: with one of those the SDK's exporter loses the whole batch."""

_codes = st.sampled_from(StatusCode)
_texts = st.sampled_from(["why", "", 42])
_statuses = st.builds(Status, _codes) | st.builds(
    Status, st.just(StatusCode.ERROR), st.sampled_from(["why", ""])
)
status_arguments = st.one_of(
    st.tuples(_codes), st.tuples(_codes, _texts), st.tuples(_statuses), st.tuples(_statuses, _texts)
)

errors: st.SearchStrategy[Callable[[], BaseException]] = st.sampled_from(
    [
        lambda: ValueError("boom"),
        lambda: KeyError("key"),
        lambda: Outer.InnerError("two", "arguments"),
        lambda: StopIteration(3),
        lambda: StopAsyncIteration(),
    ]
)
"""Makers, for each side throws one of its own."""

exits: st.SearchStrategy[Callable[[], BaseException]] = st.sampled_from(
    [
        GeneratorExit,
        lambda: KeyboardInterrupt("pressed"),
        lambda: SystemExit(1),
        lambda: asyncio.CancelledError(),
    ]
)
"""Those that are no `Exception`."""

thrown = st.none() | errors | exits

_counts = st.sampled_from([0, 1, 2, 3, SpanLimits.UNSET])
limits = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "max_attributes": _counts,
        "max_events": _counts,
        "max_links": _counts,
        "max_span_attributes": _counts,
        "max_event_attributes": _counts,
        "max_link_attributes": _counts,
        "max_attribute_length": st.sampled_from([0, 1, 7, SpanLimits.UNSET]),
        "max_span_attribute_length": st.sampled_from([0, 1, 7, SpanLimits.UNSET]),
    },
).map(lambda given: SpanLimits(**given))

resources = st.sampled_from(
    [
        Resource({"service.name": "shop"}),
        Resource({"service.name": "shop", "list": [1, 2], "count": 3}, "https://example.org/1"),
    ]
)

scopes: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"instrumenting_module_name": st.sampled_from(["library", "other", ""])},
    optional={
        "instrumenting_library_version": st.sampled_from([None, "", "1.2"]),
        "schema_url": st.sampled_from([None, "", "https://example.org/1"]),
        "attributes": st.sampled_from([None, {}, {"a": 1}, {"a": True}, {"a": [1]}, {"b": "x"}]),
    },
)
