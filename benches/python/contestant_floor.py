"""The floor: see `benches/floor`."""

from typing import Any

from opentelemetry.context.context import Context
from opentelemetry.trace.propagation import _SPAN_KEY

from answer import PlainSpan
from contestant_sdk import RUNTIME_CONTEXT
from contestants import Contestant
from encoded import spans_in_request


class Floor(Contestant):
    def __init__(self, floor: Any, body: str) -> None:
        self.floor = floor
        self.last = b""
        super().__init__(
            f"floor {body}",
            tracer=floor.Tracer("bench", body=body),
            not_sampled=floor.Tracer("not sampled", body=body, rate=0.0),
            ERROR=2,
        )

    def flush(self) -> None:
        self.last = self.floor.drain()

    def arrived(self) -> int:
        return self.floor.stats()["taken"]

    def last_spans(self) -> list[PlainSpan]:
        return spans_in_request(self.last)


def off(floor: Any) -> Contestant:
    """A block that records nothing."""
    return Contestant("floor cell", tracer=floor.Tracer("off", body="off"))


def carry_in_opentelemetry(floor: Any) -> None:
    """Lets the bodies `otel cell` and `otel plain` have the API's own context."""
    floor.opentelemetry(RUNTIME_CONTEXT._current_context, _SPAN_KEY, Context)
