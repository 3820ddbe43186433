from collections.abc import Mapping
from typing import NamedTuple

from nanospan._core import SpanContext

class Event(NamedTuple):
    name: str
    time_ns: int
    attributes: Mapping[str, object]

class Link(NamedTuple):
    context: SpanContext
    attributes: Mapping[str, object] = ...

class InstrumentationScope(NamedTuple):
    name: str
    version: str | None
