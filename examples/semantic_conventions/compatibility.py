"""Compatibility: spans made through OpenTracing's words.

OpenTracing knows references of two kinds instead of parents and links. The first "child of" is
the parent, as a span has one; every reference becomes a link that says which kind it was.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import nanospan
from nanospan import Link, Span, SpanContext, StatusCode

tracer = nanospan.tracing.new("examples.compatibility", version="1.0")

Reference = tuple[Literal["child_of", "follows_from"], SpanContext]


def start_span(
    operation_name: str,
    references: Sequence[Reference] = (),
    tags: Mapping[str, object] | None = None,
) -> Span:
    """OpenTracing's `start_span`; the tag `error` becomes the status."""
    tags = dict(tags or {})
    failed = tags.pop("error", False)
    parents = [context for kind, context in references if kind == "child_of"]
    span = tracer.start_span(
        operation_name,
        parent=parents[0] if parents else nanospan.ROOT,
        links=[Link(context, {"opentracing.ref_type": kind}) for kind, context in references],
        attributes=tags,
    )
    if failed:
        span.set_status(StatusCode.ERROR)
    return span


def log_kv(span: Span, key_values: Mapping[str, object]) -> None:
    """OpenTracing's `log_kv`: the key `event` names the event."""
    fields = dict(key_values)
    span.add_event(str(fields.pop("event", "log")), fields)


def example() -> None:
    """An import that two uploads caused and one schedule started."""
    upload, other, schedule = start_span("upload"), start_span("upload 2"), start_span("schedule")
    references: list[Reference] = [
        ("follows_from", upload.context),
        ("follows_from", other.context),
        ("child_of", schedule.context),
    ]
    job = start_span("import", references, {"thread.name": "importer", "error": True})
    log_kv(job, {"event": "row.skipped", "code.line.number": 17})
    for span in (job, schedule, other, upload):
        span.finish()


if __name__ == "__main__":
    nanospan.configure(service_name="shop", exporter=nanospan.ConsoleExporter())
    example()
    nanospan.shutdown()
