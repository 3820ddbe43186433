"""How much a span may hold."""

from __future__ import annotations

import os
from typing import Any

import nanospan
from nanospan import _environment
from nanospan.otel import _sdk

_MOST = 2**32 - 1


def from_environment() -> Any:
    """Return the limits of the environment, as the SDK's `SpanLimits` where that is installed."""
    make = _sdk.find("opentelemetry.sdk.trace", "SpanLimits")
    return _environment.limits(os.environ) if make is None else make()


def native(limits: Any) -> tuple[nanospan.SpanLimits, int | None, int | None]:
    """Return the core's limits; longest text of a span's value, and of an event's or link's."""
    if isinstance(limits, nanospan.SpanLimits):
        return limits, None, None

    def count(limit: int | None) -> int:
        return _MOST if limit is None else limit

    counts = nanospan.SpanLimits(
        attribute_count=count(limits.max_span_attributes),
        event_count=count(limits.max_events),
        link_count=count(limits.max_links),
        attribute_per_event_count=count(limits.max_event_attributes),
        attribute_per_link_count=count(limits.max_link_attributes),
    )
    return counts, limits.max_span_attribute_length, limits.max_attribute_length
