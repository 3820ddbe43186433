"""A configured nanospan whose spans stay in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import nanospan
from nanospan import MemoryExporter, SpanData, _core, tracing
from support.plain import PlainSpan, google_requests, google_spans

OTHER = "other"
"""A second namespace; `recording` clears its active span too."""

_numbers = count(1)


def fresh_name(word: str) -> str:
    """A name no other test has used: a tracer's first options win for the whole process."""
    return f"{word}-{next(_numbers)}"


class Recording:
    """What has been exported so far."""

    def __init__(self, exporter: MemoryExporter) -> None:
        self.exporter = exporter

    def spans(self) -> tuple[SpanData, ...]:
        """All spans handed over so far."""
        return self.exporter.spans()

    def names(self) -> list[str]:
        """Their names, sorted; a span exported twice shows twice."""
        return sorted(span.name for span in self.spans())

    def one(self, name: str) -> SpanData:
        """The only span of this name."""
        (span,) = [span for span in self.spans() if span.name == name]
        return span

    def google(self) -> list[PlainSpan]:
        """The exported bytes as Google's protobuf reads them."""
        self.spans()
        return google_spans(self.exporter._otlp())

    def proto_spans(self) -> list[Any]:
        """The exported spans as Google's protobuf messages."""
        self.spans()
        return [
            span
            for request in google_requests(self.exporter._otlp())
            for resource_spans in request.resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]


def no_active_span() -> None:
    """Clears what is active in this context: tests of one thread share it."""
    tracing.set_active_span(None)
    tracing.new(namespace=OTHER).set_active_span(None)


@contextmanager
def recording(**options: Any) -> Iterator[Recording]:
    """Configures nanospan for a `with` block; `clock=` and `ids=` make it repeatable."""
    exporter = MemoryExporter()
    _core._configure(**{"exporter": exporter, **options})
    no_active_span()
    try:
        yield Recording(exporter)
    finally:
        no_active_span()
        nanospan.shutdown(timeout=10)
