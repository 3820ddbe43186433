from collections.abc import Mapping
from typing import NamedTuple

from nanospan._core import SpanContext

class Event(NamedTuple):
    """Something that happened at one moment of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, object]

class Link(NamedTuple):
    """A span that has to do with this one without being its parent."""

    context: SpanContext
    attributes: Mapping[str, object] = ...

class InstrumentationScope(NamedTuple):
    """The name and version of the tracer that made a span."""

    name: str
    version: str | None
