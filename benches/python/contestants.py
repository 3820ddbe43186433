"""Those who are compared, each with its spans going where they cost nothing more."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import nanospan
from answer import PlainSpan
from cases import EVENT, Words
from raising import RAISED

# How the active span is carried, which nanospan decides when it is imported.
BODY = "plain" if os.environ.get("NANOSPAN_NO_CELLS") else "cell"
# Below a batch of anybody: what one stretch leaves waits until it is flushed, outside the time.
SPANS_PER_STRETCH = 400


class Contestant:
    """One column of the table. `names` are what the statements of the cases refer to."""

    words = Words()
    # No statement of it has these.
    lacks: tuple[str, ...] = ()

    def __init__(self, name: str, **names: object) -> None:
        self.name = name
        self.names: dict[str, object] = {"EVENT": EVENT, **names}

    def prepare(self) -> None:
        """Puts in place what all contestants share. Not timed."""

    def flush(self) -> None:
        """Lets everything that has finished arrive. Not timed."""

    def arrived(self) -> int:
        """How many spans arrived, ever."""
        return 0

    def last_spans(self) -> list[PlainSpan]:
        """What the last flush brought."""
        return []

    def forget(self) -> None:
        """Lets go of what arrived."""

    def close(self) -> None:
        """Ends what runs in the background."""


def by_body(name: str) -> str:
    """The column of one of nanospan's faces."""
    return name if BODY == "cell" else f"{name} {BODY}"


def spans_in(memory: nanospan.MemoryExporter) -> list[PlainSpan]:
    """What one of nanospan's exporters was given."""
    return [
        PlainSpan(
            name=span.name,
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_id=span.parent_id,
            start=span.start_time_ns,
            end=span.end_time_ns,
            attributes=span.attributes,
            events=[(event.name, event.attributes) for event in span.events],
            failed=span.status is nanospan.StatusCode.ERROR,
            description=span.status_description,
        )
        for span in memory.spans()
    ]


# The worker sleeps until a flush.
QUEUE = nanospan.QueueConfig(max_batch_size=10_000, max_coalescing_delay=600)


class Nanospan(Contestant):
    def __init__(self) -> None:
        self.memory = nanospan.MemoryExporter()
        nanospan.configure(service_name="bench", exporter=self.memory, queue=QUEUE)
        super().__init__(
            by_body("nanospan"),
            tracer=nanospan.tracing,
            not_sampled=nanospan.tracing.new("not sampled", sampling_rate=0),
            RAISED=RAISED,
            ERROR=nanospan.StatusCode.ERROR,
        )

    def flush(self) -> None:
        assert nanospan.flush(timeout=30)

    def forget(self) -> None:
        self.memory.clear()

    def arrived(self) -> int:
        return nanospan.stats()["sent"]

    def last_spans(self) -> list[PlainSpan]:
        return spans_in(self.memory)

    def close(self) -> None:
        nanospan.shutdown()


def floor_module() -> Any:
    """The floor, which `make bench` builds; None on machines it is not written for."""
    built = Path(__file__).parents[2] / "target" / "floor"
    sys.path.insert(0, str(built))
    try:
        return importlib.import_module("floor")
    except ImportError:
        return None


def not_configured() -> list[Contestant]:
    """Tracers before anything is configured; for the SDK, what its API does then."""
    floor = floor_module()
    found = [Contestant("nanospan", tracer=nanospan.tracing)]
    if floor:
        found.append(importlib.import_module("contestant_floor").off(floor))
    return [*found, importlib.import_module("contestant_sdk").no_op()]


def configured() -> list[Contestant]:
    """Those at work. The SDK knows one way to carry the active span, so it is in one table only."""
    return [Nanospan(), *_floor(BODY), *_sdk()]


def through_otel() -> list[Contestant]:
    """Those who are called through OpenTelemetry's API, and the floor with its Context.

    From then on nanospan's own face carries the active span in that Context too.
    """
    floor = floor_module()
    # First, so that it finds the API's own context.
    sdk = _sdk()
    face = importlib.import_module("contestant_otel").OtelFace()
    if floor:
        importlib.import_module("contestant_floor").carry_in_opentelemetry(floor)
    return [face, *_floor(f"otel {BODY}"), *sdk]


def peer(name: str) -> list[Contestant]:
    """Another library that is installed where this runs, and nanospan."""
    return [Nanospan(), getattr(importlib.import_module(f"contestant_{name}"), name.capitalize())()]


def _floor(body: str) -> list[Contestant]:
    floor = floor_module()
    return [importlib.import_module("contestant_floor").Floor(floor, body)] if floor else []


def _sdk() -> list[Contestant]:
    module = importlib.import_module("contestant_sdk")
    return [module.Sdk()] if BODY == "cell" else []
