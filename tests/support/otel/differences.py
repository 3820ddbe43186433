"""Where nanospan's OpenTelemetry face differs from opentelemetry-sdk on purpose.

Everything else that a program can see is a fault of ours. A `Difference` makes both sides alike
before they are compared; one that no comparison meets is here for its reason.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Log: TypeAlias = Sequence[tuple[str, str]]
"""Level and text of each record."""


def _as_it_is(anything: object) -> object:
    return anything


def _decimal_beyond_64_bits(value: object) -> object:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(int(value))
    return value


def _of_base_type(value: object) -> object:
    if isinstance(value, str):
        return str.__getitem__(value, slice(None))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__int__(value)
    return value


def _levels(log: Log) -> Log:
    return sorted({(level, "") for level, _ in log})


def _without_full_maps(log: Log) -> Log:
    return [(level, text) for level, text in log if not text.startswith("Attributes dict is full")]


@dataclass(frozen=True)
class Difference:
    """One thing that differs, why, and what each side's values or log go through."""

    what: str
    reason: str
    value: Callable[[object], object] = _as_it_is
    log: Callable[[Log], Log] = _as_it_is  # type: ignore[assignment]


_OWN_FRAMES = re.compile(
    r'  File "[^"]*/(?:(?:opentelemetry|nanospan/otel)/[^"]*|contextlib\.py)"'
    r", line \d+, in \w+\n(?:    .*\n)*"
)


def _without_own_frames(value: object) -> object:
    return _OWN_FRAMES.sub("", value) if isinstance(value, str) else value


INTENDED = (
    Difference(
        "an int beyond int64 is decimal text",
        "OTLP has no wider integer: the SDK shows the int, and its exporter drops the attribute",
        value=_decimal_beyond_64_bits,
    ),
    Difference(
        "`_attributes` of the span that `on_end` is given can be changed in place",
        "redactors do so, and did with the SDK until it made them immutable",
    ),
    Difference(
        "stack traces have no frames of the library that traces",
        "the SDK's blocks and decorators are Python: their lines say nothing about the error",
        value=_without_own_frames,
    ),
    Difference(
        "a value of a subclass of str, int or float is read back as one of its base class",
        "what is kept is what is sent, and that knows no classes",
        value=_of_base_type,
    ),
    Difference(
        "attributes that a limit leaves out are counted, and not logged one by one",
        "a service at its limit would write a line for each call",
        log=_without_full_maps,
    ),
    Difference(
        "the words of log records, and how many a call writes",
        "the SDK names its own functions and containers; that there is one, and its level, count",
        log=_levels,
    ),
)


def alike(value: object, differences: Iterable[Difference]) -> object:
    """A value, scalar or text, without the differences."""
    for difference in differences:
        value = difference.value(value)
    return value


def log_alike(log: Log, differences: Iterable[Difference]) -> Log:
    """The records of one call without the differences."""
    for difference in differences:
        log = difference.log(log)
    return list(log)
