"""The classes of `opentelemetry-sdk` where it is installed, elsewhere small ones like them."""

from __future__ import annotations

import functools
import importlib
from types import MappingProxyType
from typing import Any, NamedTuple

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.trace import Link


@functools.cache
def find(module: str, name: str) -> Any:
    """Return what a module of the SDK has by a name; None where the SDK is not installed."""
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def _counted(attributes: dict[str, Any], dropped: int) -> Any:
    """Return attributes, read only, that know how many were left out."""
    if not dropped:
        return MappingProxyType(attributes)
    bounded = BoundedAttributes(None, attributes)
    bounded.dropped = dropped
    return bounded


class _Event:
    def __init__(self, name: str, attributes: Any = None, timestamp: int = 0) -> None:
        self.name = name
        self.timestamp = timestamp
        self._attributes = attributes

    @property
    def attributes(self) -> Any:
        return self._attributes

    @property
    def dropped_attributes(self) -> int:
        return getattr(self._attributes, "dropped", 0)


def event(name: str, attributes: dict[str, Any], timestamp: int, dropped: int) -> Any:
    """Return an event."""
    make = find("opentelemetry.sdk.trace", "Event") or _Event
    return make(name=name, attributes=_counted(attributes, dropped), timestamp=timestamp)


def link(context: Any, attributes: dict[str, Any], dropped: int) -> Link:
    """Return a link."""
    return Link(context, _counted(attributes, dropped))


class _InstrumentationScope(NamedTuple):
    name: str
    version: str = ""
    schema_url: str = ""
    attributes: Any = None


def instrumentation_scope(
    name: str, version: str = "", schema_url: str | None = None, attributes: Any = None
) -> Any:
    """Return an instrumentation scope."""
    make = find("opentelemetry.sdk.util.instrumentation", "InstrumentationScope")
    if make is not None:
        return make(name, version, schema_url, attributes)
    kept = tuple(sorted(attributes.items())) if attributes else ()
    return _InstrumentationScope(name, version, schema_url or "", kept)


def instrumentation_info(scope: Any) -> Any:
    """Return what a scope was called before: its name, version and schema."""
    make = find("opentelemetry.sdk.util.instrumentation", "InstrumentationInfo")
    return scope if make is None else make(scope.name, scope.version, scope.schema_url)


class _Resource:
    def __init__(self, attributes: dict[str, Any], schema_url: str = "") -> None:
        self.attributes = MappingProxyType(dict(attributes))
        self.schema_url = schema_url

    def merge(self, other: Any) -> _Resource:
        merged = {**self.attributes, **other.attributes}
        return _Resource(merged, other.schema_url or self.schema_url)


def resource(attributes: dict[str, Any]) -> Any:
    """Return a resource of these attributes and no others."""
    return (find("opentelemetry.sdk.resources", "Resource") or _Resource)(attributes)


def readable(facts: dict[str, Any], dropped: tuple[int, int, int]) -> Any:
    """Return a span as processors see ended ones."""
    span = readable_class()(**facts)
    span._held = [
        (facts[name], count)
        for name, count in zip(("attributes", "events", "links"), dropped, strict=True)
    ]
    return span


@functools.cache
def readable_class() -> Any:
    """Return the class of what processors are told of an end: one of the SDK's."""
    base = find("opentelemetry.sdk.trace", "ReadableSpan")
    if base is None:
        raise ImportError("span processors need opentelemetry-sdk: pip install opentelemetry-sdk")

    class ReadableSpan(base):  # type: ignore[misc, valid-type]
        """An ended span: what processors change in it is what is sent."""

        # What it was given, and how much had been left out of that.
        _held: Any = ()

        def _dropped(self, index: int, now: Any) -> int:
            # Of what somebody put in the place of it, nothing has been left out.
            held, dropped = self._held[index]
            return dropped if now is held else 0

        @property
        def dropped_attributes(self) -> int:
            """How many attributes were left out."""
            return self._dropped(0, self._attributes)

        @property
        def dropped_events(self) -> int:
            """How many events were left out."""
            return self._dropped(1, self._events)

        @property
        def dropped_links(self) -> int:
            """How many links were left out."""
            return self._dropped(2, self._links)

        @property
        def instrumentation_info(self) -> Any:
            """The old name of the instrumentation scope."""
            return instrumentation_info(self._instrumentation_scope)

    return ReadableSpan
