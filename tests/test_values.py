"""Attribute values: what is set, read back, through the span and through another protobuf."""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given

import nanospan
from nanospan import tracing
from nanospan.testing.strategies import (
    DEEPEST,
    attribute_values,
    attributes,
    deep_values,
    expected_attributes,
    recursive_values,
)
from support.plain import exact, json_spans
from support.process import checked_python
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def _assert_round_trip(given_attributes):
    """The open span, what arrived, and Google's protobuf all say what the oracle says."""
    with new_recording() as recorded:
        span = tracing.start_span("x", attributes=given_attributes)
        expected = exact(expected_attributes(given_attributes))
        assert exact(span.attributes) == expected
        span.finish()
        assert exact(recorded.one("x").attributes) == expected
        (read,) = recorded.google()
        assert read["attributes"] == expected


@given(attribute_values())
def test_any_value_reads_back_as_the_oracle_says(value):
    _assert_round_trip({"k": value})


@given(attributes())
def test_any_attributes_read_back_as_the_oracle_says(given_attributes):
    _assert_round_trip(given_attributes)


@given(deep_values())
def test_values_nested_too_deep_end_in_a_marker(value):
    _assert_round_trip({"k": value})


@given(recursive_values())
def test_values_that_hold_themselves_end_in_a_marker(value):
    _assert_round_trip({"k": value})


@given(attributes(), attributes())
def test_setting_one_by_one_and_all_at_once_are_the_same(first, second):
    with new_recording():
        at_once = tracing.start_span("x", attributes=first)
        at_once.set_attributes(second)
        one_by_one = tracing.start_span("x")
        for key, value in [*first.items(), *second.items()]:
            one_by_one.set_attribute(key, value)
        assert exact(at_once.attributes) == exact(one_by_one.attributes)
        at_once.release()
        one_by_one.release()


@given(attributes())
def test_attributes_of_events_and_links_read_back_like_a_spans(given_attributes):
    with new_recording() as recorded:
        span = tracing.start_span("x")
        span.add_event("e", given_attributes)
        span.add_link(span.context, given_attributes)
        span.finish()
        read = recorded.one("x")
    expected = exact(expected_attributes(given_attributes))
    assert exact(read.events[0].attributes) == expected
    assert exact(read.links[0].attributes) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, True),
        (2**63 - 1, 2**63 - 1),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        ("a\ud800b", "a\ufffdb"),
        ("\ud83d\ude00", "\ufffd\ufffd"),
        (bytearray(b"\x00\xff"), b"\x00\xff"),
        ([1, None, "x"], (1, None, "x")),
        ([object(), 1], (None, 1)),
        ({"a": object()}, {"a": None}),
        (range(3), (0, 1, 2)),
        (deque([1]), (1,)),
        (MappingProxyType({1: 2}), {"1": 2}),
        ([], ()),
        ({}, {}),
        ({1: "a", None: "b", (2,): "c"}, {"1": "a", "None": "b", "(2,)": "c"}),
        (ValueError("boom"), "boom"),
    ],
    ids=repr,
)
def test_values_that_otlp_does_not_know_become_what_it_knows(recording, value, expected):
    span = tracing.start_span("x", attributes={"k": value})
    assert exact(span.attributes) == exact({"k": expected})
    span.finish()


def test_an_int_too_long_for_decimal_text_becomes_hexadecimal(recording):
    span = tracing.start_span("x", attributes={"k": 2**16_000})
    assert span.attributes == {"k": f"{2**16_000:#x}"}
    span.finish()


def test_containers_nest_as_deep_as_the_limit_and_no_deeper(recording):
    value = expected = ()
    for _ in range(DEEPEST - 1):
        value, expected = [value], (expected,)
    span = tracing.start_span("x", attributes={"deepest": value, "deeper": [value]})
    assert span.attributes["deepest"] == expected
    text = repr(span.attributes["deeper"])
    assert text == "(" * DEEPEST + "'<nested too deep>'" + ",)" * DEEPEST
    span.finish()


def test_the_deepest_mappings_reach_every_exporter_from_wherever_they_are(tmp_path):
    value = 1
    for _ in range(DEEPEST + 1):
        value = {"k": value}
    with new_recording() as recorded:
        exporters = [recorded.exporter, nanospan.FileExporter(tmp_path / "traces")]
        nanospan.configure(exporter=exporters)
        span = tracing.start_span("x", attributes={"k": value})
        span.add_event("e", {"k": value})
        span.add_link(span.context, {"k": value})
        span.finish()
        assert nanospan.flush()
        (read,) = recorded.google()
        assert "<nested too deep>" in str(read["events"])
        assert json_spans((tmp_path / "traces").read_text()) == [read]
        assert nanospan.stats()["worker"] == "running"


def test_a_list_that_holds_itself_ends_in_a_marker(recording):
    value = [1]
    value.append(value)
    span = tracing.start_span("x", attributes={"k": value})
    assert span.attributes == {"k": (1, "<recursion>")}
    span.finish()


def test_a_list_that_occurs_twice_is_no_recursion(recording):
    twice = [1]
    span = tracing.start_span("x", attributes={"k": [twice, {"again": twice}]})
    assert span.attributes == {"k": ((1,), {"again": (1,)})}
    span.finish()


def test_an_iterator_is_not_consumed(recording):
    iterator = iter([1, 2])
    span = tracing.start_span("x", attributes={"k": iterator})
    assert (list(iterator), span.attributes) == ([1, 2], {})
    span.finish()


class _Silent:
    pass


def test_what_cannot_be_kept_is_counted_and_logged_once_per_key_and_type(recording, caplog):
    span = tracing.start_span("x")
    for _ in range(3):
        span.set_attribute("first", _Silent())
        span.set_attribute("second", _Silent())
        span.set_attribute("first", print)
    assert span.attributes == {}
    assert nanospan.stats()["dropped_values"] == 9
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert sum("first" in message and "_Silent" in message for message in messages) == 1
    span.finish()


def test_a_dropped_value_leaves_the_earlier_one(recording):
    span = tracing.start_span("x", attributes={"k": 1})
    span.set_attribute("k", _Silent())
    assert span.attributes == {"k": 1}
    span.finish()


class _Hostile:
    """Does something in every conversion."""

    def __init__(self, act):
        self.act = act

    def __str__(self):
        return self.act()


class _HostileIndex:
    def __init__(self, act):
        self.act = act

    def __index__(self):
        return self.act()


class _HostileText(str):
    __slots__ = ()

    def __str__(self):
        raise RuntimeError("not asked")

    __repr__ = __hash__ = __len__ = encode = __str__
    __hash__ = str.__hash__


def _raise():
    raise RuntimeError("hostile")


def _raise_exit():
    raise SystemExit("hostile")


_HOSTILE = {
    "__str__ raises": _Hostile(_raise),
    "__str__ gives no text": _Hostile(lambda: 5),
    "__index__ raises": _HostileIndex(_raise),
    "__index__ gives no int": _HostileIndex(lambda: "five"),
}


@pytest.mark.parametrize("value", _HOSTILE.values(), ids=_HOSTILE)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": v}, lambda v: {v: 1}])
def test_a_value_whose_conversion_fails_does_no_harm(recording, value, wrap):
    span = tracing.start_span("x")
    try:
        wrapped = wrap(value)
    except TypeError:
        pytest.skip("cannot be a key")
    span.set_attributes({"before": 1, "hostile": wrapped, "after": 2})
    assert (span.attributes["before"], span.attributes["after"]) == (1, 2)
    span.finish()
    assert recording.names() == ["x"]
    assert len(recording.google()) == 1


@pytest.mark.parametrize(
    "value",
    [
        _Hostile(_raise_exit),
        [_Hostile(_raise_exit)],
        {_Hostile(_raise_exit): 1},
        _HostileIndex(_raise_exit),
        [_HostileIndex(_raise_exit)],
    ],
)
def test_an_exit_asked_for_in_a_conversion_is_not_swallowed(recording, value):
    span = tracing.start_span("x")
    with pytest.raises(SystemExit):
        span.set_attributes({"before": 1, "k": value})
    assert span.attributes == {}
    span.finish()


def test_a_text_subclass_is_kept_by_its_base_value(recording):
    span = tracing.start_span("x", attributes={_HostileText("key"): _HostileText("value")})
    assert exact(span.attributes) == exact({"key": "value"})
    span.set_attribute("key", _HostileText("a\ud800b"))
    assert exact(span.attributes) == exact({"key": "a\ufffdb"})
    span.finish()


class _HostileInt(int):
    def __str__(self):
        return "not the value"

    __repr__ = __str__


@pytest.mark.parametrize("number", [7, 2**63, -(2**80)])
def test_an_int_subclass_is_kept_by_its_base_value(recording, number):
    span = tracing.start_span("x", attributes={"k": _HostileInt(number)})
    assert span.attributes == {"k": number if number == 7 else str(number)}
    span.finish()


class _NoPairs(Mapping):
    """A mapping whose items are no pairs."""

    def __init__(self, items):
        self._items = items

    def __getitem__(self, key):
        return 1

    def __iter__(self):
        return iter(["k"])

    def __len__(self):
        return 1

    def items(self):
        return self._items


_NO_PAIRS = [[1], [("k", 2, 3)], ["abc"], [()], None]


@pytest.mark.parametrize("items", _NO_PAIRS, ids=repr)
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: {"k": v}])
def test_a_mapping_whose_items_are_no_pairs_is_left_out(recording, items, wrap):
    span = tracing.start_span("x", attributes={"k": wrap(_NoPairs(items)), "after": 1})
    empty = wrap(None)
    kept = {} if empty is None else {"k": tuple(empty) if isinstance(empty, list) else empty}
    assert span.attributes == {**kept, "after": 1}
    assert nanospan.stats()["dropped_values"] == 1
    span.finish()


@pytest.mark.parametrize("items", _NO_PAIRS, ids=repr)
def test_attributes_whose_items_are_no_pairs_raise_and_set_nothing(recording, items):
    span = tracing.start_span("x")
    with pytest.raises(TypeError):
        span.set_attributes(_NoPairs(items))
    assert span.attributes == {}
    span.finish()


def _trace_and_write(span):
    """A conversion that traces, writes to the very span, and finishes another."""

    def act():
        with tracing.start_as_current_span("inside"):
            span.set_attribute("from inside", [1, {"a": 2}])
            span.add_event("from inside")
        return "text"

    return act


@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v, v], lambda v: {"k": {"n": v}}])
def test_a_conversion_that_traces_does_no_harm(recording, wrap):
    span = tracing.start_span("x")
    span.set_attributes({"k": wrap(_Hostile(_trace_and_write(span))), "after": 1})
    text = wrap("text")
    assert span.attributes == {
        "from inside": (1, {"a": 2}),
        "k": tuple(text) if isinstance(text, list) else text,
        "after": 1,
    }
    span.finish()
    assert set(recording.names()) == {"x", "inside"}


def test_an_index_that_traces_does_no_harm(recording):
    span = tracing.start_span("x")
    act = _trace_and_write(span)
    span.set_attribute("k", [_HostileIndex(lambda: len(act()))])
    assert span.attributes == {"from inside": (1, {"a": 2}), "k": (4,)}
    span.finish()


def test_a_conversion_that_finishes_its_own_span_does_no_harm(recording):
    span = tracing.start_span("x")
    span.set_attribute("k", _Hostile(lambda: span.finish() or "too late"))
    assert recording.one("x").attributes == {}


def test_a_conversion_that_shuts_down_does_no_harm():
    with new_recording() as recorded:
        span = tracing.start_span("x")
        span.set_attribute("k", _Hostile(lambda: nanospan.shutdown() and "too late"))
        span.finish()
        assert recorded.names() == []


def test_a_container_that_changes_while_it_is_read_does_no_harm(recording):
    items = []
    items.extend([_Hostile(lambda: items.clear() or "cleared"), *range(100)])
    mapping = {}
    mapping.update({"a": _Hostile(lambda: mapping.clear() or "cleared"), "b": 1, "c": 2})
    span = tracing.start_span("x", attributes={"list": items, "dict": mapping, "after": 1})
    assert span.attributes["after"] == 1
    span.finish()
    assert len(recording.google()) == 1


def test_a_released_memoryview_does_no_harm(recording):
    view = memoryview(b"x")
    view.release()
    span = tracing.start_span("x", attributes={"k": view, "after": 1})
    assert span.attributes == {"after": 1}
    span.finish()


def test_huge_texts_and_bytes_are_kept_whole(recording):
    text, data = "ä" * 1_000_000, b"\x00" * 1_000_000
    tracing.start_span("x", attributes={"text": text, "data": data}).finish()
    assert recording.one("x").attributes == {"text": text, "data": data}


def test_keys_and_event_names_may_be_empty(recording):
    span = tracing.start_span("x", attributes={"": 1})
    span.add_event("", {"": 2})
    span.finish()
    read = recording.one("x")
    assert read.attributes == {"": 1}
    assert [(event.name, event.attributes) for event in read.events] == [("", {"": 2})]


def test_what_is_read_from_a_span_is_a_copy(recording):
    span = tracing.start_span("x", attributes={"k": [1]})
    span.attributes["other"] = 2
    assert span.attributes == {"k": (1,)}
    span.finish()


def test_without_hypothesis_the_strategies_say_what_they_need():
    code = """
        import sys
        sys.modules["hypothesis"] = None
        try:
            import nanospan.testing.strategies
        except ModuleNotFoundError as error:
            print(error)
    """
    assert "pip install hypothesis" in checked_python(code)
