"""What a program can see of spans, as plain data that compares across two providers.

Identity counts: the same object seen twice has the same number, so that `child.parent is
root.get_span_context()` on one side only is a difference. The order of attributes counts too.
"""

import json
import re
import time
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from opentelemetry.trace import NonRecordingSpan

from support.otel.differences import Difference, alike

Observed: TypeAlias = Any

PRIVATE = (
    "_name",
    "_context",
    "_kind",
    "_parent",
    "_start_time",
    "_end_time",
    "_attributes",
    "_events",
    "_links",
    "_status",
    "_resource",
    "_instrumentation_scope",
)
"""What processors read and replace on the span that `on_end` is given."""

_MINUTE_NS = 60 * 10**9
_ISO_TIME_OF_THIS_CENTURY = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


class Observer:
    """Looks at the objects of one side, and knows each again."""

    def __init__(self, differences: Iterable[Difference]) -> None:
        self._differences = tuple(differences)
        self._numbers: dict[int, str] = {}
        self._kept: list[object] = []  # alive, so that no other object gets their `id`
        self._counts: dict[str, int] = {}

    def which(self, kind: str, thing: object) -> str:
        """The same words for the same object; a number of its own for a new one."""
        if thing is None:
            return "None"
        known = self._numbers.get(id(thing))
        if known is None:
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
            known = self._numbers[id(thing)] = f"{kind} {count}"
            self._kept.append(thing)
        return known

    def value(self, value: object) -> Observed:
        """Type and value: 1, 1.0 and True differ, NaN is itself, and maps have an order."""
        if isinstance(value, Mapping):
            return [(self.value(key), self.value(item)) for key, item in value.items()]
        if isinstance(value, tuple | list):
            return (type(value).__name__, [self.value(item) for item in value])
        value = alike(value, self._differences)
        return f"{type(value).__name__} {value!r}"

    def time(self, time_ns: object) -> Observed:
        """Times that were given stand for themselves; of read ones only that they are right."""
        if isinstance(time_ns, int) and abs(time.time_ns() - time_ns) < _MINUTE_NS:
            return "the clock"
        return self.value(time_ns)

    def context(self, context: Any) -> Observed:
        """The `SpanContext` of a span, of its parent or of a given context."""
        return context and (self.which("context", context), self.equal_context(context))

    def equal_context(self, context: Any) -> Observed:
        """The `SpanContext` of a link, which need not be the very object."""
        return (
            type(context).__name__,
            f"{context.trace_id:032x}",
            f"{context.span_id:016x}",
            context.is_remote,
            self.value(context.trace_flags),
            self.value(context.trace_state),
            context.is_valid,
        )

    def resource(self, resource: Any) -> Observed:
        """In full when first seen; it never changes."""
        return self._once("resource", resource)

    def scope(self, scope: Any) -> Observed:
        """In full when first seen; it never changes."""
        return self._once("scope", scope)

    def _once(self, kind: str, thing: Any) -> Observed:
        if thing is None or id(thing) in self._numbers:
            return self.which(kind, thing)
        described = {
            "name": getattr(thing, "name", None),
            "version": getattr(thing, "version", None),
            "schema_url": thing.schema_url,
            "attributes": self.value(thing.attributes),
        }
        return (self.which(kind, thing), described)

    def event(self, event: Any) -> Observed:
        """One event of a span."""
        return {
            "name": self.value(event.name),
            "timestamp": self.time(event.timestamp),
            "attributes": self.value(event.attributes),
            "dropped_attributes": event.dropped_attributes,
        }

    def link(self, link: Any) -> Observed:
        """One link of a span, or one that a sampler is shown."""
        return link and {
            "context": self.equal_context(link.context),
            "attributes": self.value(link.attributes),
            "dropped_attributes": link.dropped_attributes,
        }

    def status(self, status: Any) -> Observed:
        """Code, description and what is derived from them."""
        return (
            status.status_code,
            self.value(status.description),
            status.is_ok,
            status.is_unset,
        )

    def _fields(self, span: Any) -> dict[str, Observed]:
        return {
            "name": self.value(span.name),
            "kind": span.kind,
            "context": self.context(span.get_span_context()),
            "the property": self.which("context", span.context),
            "parent": self.context(span.parent),
            "start_time": self.time(span.start_time),
            "end_time": self.time(span.end_time),
            "status": self.status(span.status),
            "attributes": self.value(span.attributes),
            "events": [self.event(event) for event in span.events],
            "links": [self.link(link) for link in span.links],
            "dropped": (span.dropped_attributes, span.dropped_events, span.dropped_links),
            "resource": self.resource(span.resource),
            "scope": self.scope(span.instrumentation_scope),
        }

    def span(self, span: Any) -> Observed:
        """Whatever a tracer or a context may hand out as a span."""
        known = {"span": self.which("span", span), "recording": span.is_recording()}
        if isinstance(span, NonRecordingSpan):
            return known | {"non-recording": self.context(span.get_span_context())}
        return known | self._fields(span)

    def readable(self, span: Any) -> Observed:
        """What processors and exporters get of a span."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            info = span.instrumentation_info
        return self._fields(span) | {
            "info": info and (info.name, info.version, info.schema_url),
            "private": [(name, self._private(name, getattr(span, name))) for name in PRIVATE],
            "json": self._json(span),
        }

    def _private(self, name: str, value: Any) -> Observed:
        match name:
            case "_context" | "_parent":
                return self.context(value)
            case "_start_time" | "_end_time":
                return self.time(value)
            case "_events":
                return [self.event(event) for event in value]
            case "_links":
                return [self.link(link) for link in value]
            case "_status":
                return self.status(value)
            case "_resource":
                return self.resource(value)
            case "_instrumentation_scope":
                return self.scope(value)
            case "_attributes":
                return self.value(dict(value))
            case _:
                return self.value(value)

    def _json(self, span: Any) -> Observed:
        try:
            text = span.to_json()
        except TypeError as refusal:  # JSON has no bytes
            return type(refusal).__name__
        read = json.loads(text)
        return {
            "as printed": json.dumps(read, indent=4) == text,
            "at_once": json.loads(span.to_json(indent=None)).keys() == read.keys(),
            "read": self._json_value(read),
        }

    def _json_value(self, value: object) -> Observed:
        if isinstance(value, dict):
            return [(key, self._json_value(item)) for key, item in value.items()]
        if isinstance(value, list):
            return [self._json_value(item) for item in value]
        if isinstance(value, str) and _ISO_TIME_OF_THIS_CENTURY.fullmatch(value):
            return "the clock"
        return self.value(value)
