"""The ids of spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nanospan.otel import _sdk

if TYPE_CHECKING:
    from nanospan._core import _Provider  # pyright: ignore[reportPrivateUsage]


class IdGenerator:
    """Gives ids from the core, as `opentelemetry.sdk.trace.id_generator.IdGenerator` does."""

    def __init__(self, core: _Provider) -> None:
        self._core = core

    def generate_trace_id(self) -> int:
        """Return a new trace id."""
        return self._core._new_trace_id()

    def generate_span_id(self) -> int:
        """Return a new span id."""
        return self._core._new_span_id()

    def is_trace_id_random(self) -> bool:
        """Return True: all bits are random."""
        return True


def is_native(generator: Any) -> bool:
    """Tell whether the core may make the ids in the place of a generator: random is random."""
    random = _sdk.find("opentelemetry.sdk.trace.id_generator", "RandomIdGenerator")
    return random is not None and type(generator) is random
