"""Hypothesis strategies for what a program hands to nanospan, and what reading it back gives.

`expected_value` and `expected_attributes` are the oracle: plain Python that says which value a
span shows and exports for the value that was set.
"""

import operator
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final, TypeAlias, cast

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    text = "nanospan.testing.strategies needs the package hypothesis: pip install hypothesis"
    raise ModuleNotFoundError(text, name=error.name) from error

from nanospan import Link, Span, SpanContext, SpanKind, StatusCode, Tracer

__all__ = [
    "DEEPEST",
    "DROPPED",
    "EventFacts",
    "SpanFacts",
    "Value",
    "attribute_keys",
    "attribute_values",
    "attributes",
    "deep_values",
    "events",
    "expected_attributes",
    "expected_text",
    "expected_value",
    "finished_spans",
    "links",
    "recursive_values",
    "span_contexts",
    "span_names",
    "texts",
    "times_ns",
]

Value: TypeAlias = "str | bool | int | float | bytes | tuple[Value, ...] | dict[str, Value] | None"


class _Dropped(Enum):
    DROPPED = "dropped"


DROPPED: Final = _Dropped.DROPPED
"""What `expected_value` gives for a value that is not kept at all."""

DEEPEST: Final = 31
"""Containers may nest this deep; what would be deeper is replaced by a marker."""

_TOO_DEEP = "<nested too deep>"
_RECURSION = "<recursion>"
_SURROGATE = re.compile("[\ud800-\udfff]")


def expected_text(text: str) -> str:
    """The text that is kept: UTF-8 has no surrogates, so each becomes U+FFFD."""
    return _SURROGATE.sub("\ufffd", str.__str__(text))


def expected_attributes(attributes: Mapping[str, object]) -> dict[str, Value]:
    """The attributes a span shows after `set_attributes(attributes)`."""
    kept: dict[str, Value] = {}
    for key, value in attributes.items():
        if value is None:
            kept.pop(expected_text(key), None)
            continue
        expected = expected_value(value)
        if not isinstance(expected, _Dropped):
            kept[expected_text(key)] = expected
    return kept


def expected_value(value: object) -> "Value | _Dropped":
    """What reading back gives for an attribute that was set to `value`, or `DROPPED`."""
    return _expected(value, ())


def _expected(value: object, containers: "tuple[_Container, ...]") -> "Value | _Dropped":
    """`containers` are those that hold `value`, outermost first."""
    match value:
        case None | bool():
            return value
        case int():
            return _expected_int(value)
        case float():
            return float.__float__(value)
        case str():
            return expected_text(value)
        case bytes() | bytearray():
            return bytes(value)
        case memoryview():
            return value.tobytes()
        case Mapping() | Sequence() | set() | frozenset():
            return _expected_container(cast("_Container", value), containers)
        case _:
            return _expected_object(value)


_Container: TypeAlias = Mapping[object, object] | Sequence[object] | set[object] | frozenset[object]


def _expected_container(value: _Container, outer: tuple[_Container, ...]) -> Value:
    if any(value is container for container in outer):
        return _RECURSION
    if len(outer) >= DEEPEST:
        return _TOO_DEEP
    containers = (*outer, value)
    if isinstance(value, Mapping):
        return {
            expected_text(key if isinstance(key, str) else str(key)): _expected_item(
                item, containers
            )
            for key, item in value.items()
        }
    return tuple(_expected_item(item, containers) for item in value)


def _expected_item(value: object, containers: tuple[_Container, ...]) -> Value:
    """Inside a container nothing is left out: what cannot be kept is the empty value."""
    expected = _expected(value, containers)
    return None if isinstance(expected, _Dropped) else expected


def _expected_int(value: int) -> Value:
    return int(value) if -(2**63) <= value < 2**63 else int.__repr__(value)


def _expected_object(value: object) -> "Value | _Dropped":
    """Numbers of other libraries by their value, the rest by the text they define."""
    kind = type(value)
    if hasattr(kind, "__index__"):
        return _expected_int(operator.index(cast("int", value)))
    if kind.__module__ == "numpy":
        return float(cast("float", value))
    if kind.__str__ is object.__str__:
        return DROPPED
    return expected_text(str(value))


class _Colour(Enum):
    RED = 1


class _Level(IntEnum):
    HIGH = 3


class _Word(str, Enum):
    YES = "yes"


class _Int(int):
    def __str__(self) -> str:
        return "not the value"


class _Float(float):
    def __str__(self) -> str:
        return "not the value"


class _Text(str):
    __slots__ = ()

    def __str__(self) -> str:
        return "not the value"


class _Dict(dict[object, object]):
    pass


class _List(list[object]):
    pass


@dataclass(frozen=True)
class _Indexed:
    value: int

    def __index__(self) -> int:
        return self.value


@dataclass(frozen=True)
class _NumpyFloat:
    """Stands for numpy's float32, which is no subclass of float."""

    value: float

    def __float__(self) -> float:
        return self.value


_NumpyFloat.__module__ = "numpy"


@dataclass(frozen=True)
class _Speaking:
    text: str

    def __str__(self) -> str:
        return self.text


class _Silent:
    pass


def texts(*, min_size: int = 0, max_size: int = 20) -> st.SearchStrategy[str]:
    """Text of all planes, lone surrogates and NUL included."""
    return st.text(st.characters(), min_size=min_size, max_size=max_size)


def span_names() -> st.SearchStrategy[str]:
    """Names a span may have: any text but the empty one."""
    return st.sampled_from(["GET /cart", "SELECT", "ünïcödé"]) | texts(min_size=1)


def attribute_keys() -> st.SearchStrategy[str]:
    """Keys as programs use them, and any other text, the empty one and subclasses included."""
    common = st.sampled_from(["http.request.method", "server.port", "k", ""])
    return common | texts() | texts().map(_Text)


def _scalars() -> st.SearchStrategy[object]:
    numbers = st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats()
    edges = st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, -0.0, 5e-324])
    binary = st.binary(max_size=20)
    return st.one_of(
        numbers,
        edges,
        texts(),
        binary,
        binary.map(bytearray),
        binary.map(lambda data: memoryview(data)),
        binary.map(lambda data: memoryview(data)[::2]),
    )


def _objects() -> st.SearchStrategy[object]:
    return st.one_of(
        st.sampled_from([_Colour.RED, _Level.HIGH, _Word.YES, ValueError("boom"), 1j, ..., print]),
        st.integers().map(_Int),
        st.floats().map(_Float),
        texts().map(_Text),
        st.integers(-(2**70), 2**70).map(_Indexed),
        st.floats().map(_NumpyFloat),
        texts().map(_Speaking),
        st.builds(_Silent),
        st.builds(lambda: iter([1, 2])),
        st.datetimes(),
        st.uuids(),
    )


def _nested_keys() -> st.SearchStrategy[object]:
    plain = st.text(max_size=3) | st.integers() | st.floats() | st.booleans() | st.none()
    return plain | texts(max_size=3) | st.binary(max_size=3) | st.tuples(st.integers())


def _containers(items: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    sequences = st.lists(items, max_size=4)
    mappings = st.dictionaries(_nested_keys(), items, max_size=4)
    hashables = st.integers() | st.text(max_size=3) | st.none()
    return st.one_of(
        sequences,
        sequences.map(tuple),
        sequences.map(_List),
        sequences.map(deque),
        st.integers(0, 3).map(range),
        mappings,
        mappings.map(_Dict),
        mappings.map(MappingProxyType),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
    )


def attribute_values() -> st.SearchStrategy[object]:
    """Values of every type an attribute may be set to, but for None at the top, which unsets."""
    leaves = _scalars() | _objects()
    nested = st.recursive(leaves | st.none(), _containers, max_leaves=8)
    return leaves | nested.filter(lambda value: value is not None)


@st.composite
def deep_values(draw: st.DrawFn) -> object:
    """Lists and dicts nested to about the depth where the marker begins."""
    value: object = draw(_scalars() | st.none())
    for as_mapping in draw(st.lists(st.booleans(), min_size=1, max_size=DEEPEST + 4)):
        value = {"k": value} if as_mapping else [value]
    return value


@st.composite
def recursive_values(draw: st.DrawFn) -> object:
    """Containers that hold themselves, at once or through another."""
    inner: list[object] = draw(st.lists(_scalars(), max_size=3))
    mapping: dict[object, object] = {"inner": inner, "again": inner}
    inner.insert(draw(st.integers(0, len(inner))), draw(st.sampled_from([inner, mapping])))
    return draw(st.sampled_from([inner, mapping, [mapping, mapping]]))


def attributes(
    values: st.SearchStrategy[object] | None = None, *, max_size: int = 6
) -> st.SearchStrategy[dict[str, object]]:
    """Mappings to pass as `attributes=`, some values None."""
    some = attribute_values() if values is None else values
    return st.dictionaries(attribute_keys(), some | st.none(), max_size=max_size)


def times_ns() -> st.SearchStrategy[int]:
    """Nanoseconds since 1970 that a signed 64-bit integer holds."""
    return st.integers(1, 2**63 - 1)


def _ids(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).filter(any)


def span_contexts() -> st.SearchStrategy[SpanContext]:
    """Contexts made by hand, as propagation makes them for a remote parent."""
    return st.builds(
        SpanContext,
        _ids(16),
        _ids(8),
        sampled=st.sampled_from([None, True, False]),
        trace_state=st.sampled_from(["", "vendor=1", "a=b,c=d"]),
    )


def links() -> st.SearchStrategy[Link]:
    """Links with and without attributes."""
    return st.builds(Link, span_contexts(), st.none() | attributes(max_size=3))


@dataclass(frozen=True)
class EventFacts:
    """The arguments of one `add_event`."""

    name: str
    time_ns: int
    attributes: Mapping[str, object]


def events() -> st.SearchStrategy[EventFacts]:
    """Events with any name, the empty one included."""
    return st.builds(EventFacts, texts(), times_ns(), attributes(max_size=3))


@dataclass(frozen=True)
class SpanFacts:
    """Everything a program can say about one span; `record` says it."""

    name: str
    kind: SpanKind
    parent: SpanContext | None
    start_time_ns: int
    end_time_ns: int
    attributes: Mapping[str, object]
    events: tuple[EventFacts, ...]
    links: tuple[Link, ...]
    status: StatusCode
    status_description: str | None

    def record(self, tracer: Tracer) -> Span:
        """Starts a sampled span with these facts, finishes it and gives its handle."""
        span = tracer.start_span(
            self.name,
            kind=self.kind,
            start_time_ns=self.start_time_ns,
            should_sample=True,
            parent=self.parent,
            attributes=self.attributes,
            links=self.links,
        )
        for event in self.events:
            span.add_event(event.name, event.attributes, time_ns=event.time_ns)
        span.set_status(self.status, self.status_description)
        span.finish(self.end_time_ns)
        return span


@st.composite
def finished_spans(draw: st.DrawFn) -> SpanFacts:
    """Whole spans, local roots with or without a remote parent."""
    start, end = sorted((draw(times_ns()), draw(times_ns())))
    status = draw(st.sampled_from(StatusCode))
    return SpanFacts(
        name=draw(span_names()),
        kind=draw(st.sampled_from(SpanKind)),
        parent=draw(st.none() | span_contexts()),
        start_time_ns=start,
        end_time_ns=end,
        attributes=draw(attributes()),
        events=tuple(draw(st.lists(events(), max_size=3))),
        links=tuple(draw(st.lists(links(), max_size=3))),
        status=status,
        status_description=draw(st.none() | texts(min_size=1)),
    )
