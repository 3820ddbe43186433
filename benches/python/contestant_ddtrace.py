"""ddtrace, where it is installed. Its writer is swapped for one that keeps the spans, so its
encoding, which it does in the application's thread when a trace ends, is left out. It has no
decision before a trace ends, and no public word for an event."""

import os
from typing import Any

os.environ["DD_INSTRUMENTATION_TELEMETRY_ENABLED"] = "false"
os.environ["DD_REMOTE_CONFIGURATION_ENABLED"] = "false"

from ddtrace.trace import tracer

from answer import PlainSpan
from cases import ATTRIBUTES, DESCRIPTION, Words
from contestants import Contestant


class _Keep:
    def __init__(self) -> None:
        self.count = 0
        self.last: list[Any] = []

    def write(self, spans: list[Any]) -> None:
        self.count += len(spans)
        self.last = spans

    def stop(self, timeout: float | None = None) -> None:
        pass


class Ddtrace(Contestant):
    words = Words(
        block="{tracer}.trace({name!r})",
        attribute="{span}.set_tag({key!r}, {value!r})",
        event="{span}._add_event('cache.miss', EVENT)",
        error=f"{{span}}.error = 1; {{span}}.set_tag('error.message', {DESCRIPTION!r})",
    )

    def __init__(self) -> None:
        self.writer = _Keep()
        tracer._span_aggregator.writer = self.writer
        super().__init__("ddtrace", tracer=tracer)

    def arrived(self) -> int:
        return self.writer.count

    def last_spans(self) -> list[PlainSpan]:
        return [
            PlainSpan(
                name=span.name,
                trace_id=span.trace_id,
                span_id=span.span_id,
                parent_id=span.parent_id,
                start=span.start_ns,
                end=span.start_ns + span.duration_ns,
                attributes={
                    key: value
                    for key, value in (span.get_tags() | span.get_metrics()).items()
                    if key in ATTRIBUTES  # it adds its own
                },
                events=[(event.name, dict(event.attributes)) for event in span._get_events()],
                failed=span.error == 1,
                description=span.get_tag("error.message"),
            )
            for span in self.writer.last
        ]

    def close(self) -> None:
        tracer.shutdown()
