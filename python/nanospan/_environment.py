"""The `OTEL_*` environment variables (OpenTelemetry environment variable specification).

An empty variable is an unset one. One that cannot be used is named in a warning and ignored: the
program runs on without it. What a value may be is the core's to say: each is offered to the class
that it is for.
"""

from __future__ import annotations

from nanospan._core import AlwaysOff, AlwaysOn, ParentBased, QueueConfig, SpanLimits, TraceIdRatio

TYPE_CHECKING = False  # typing has the same, and takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, TypeAlias

    from nanospan._core import _Sampler  # pyright: ignore[reportPrivateUsage]

    Environ: TypeAlias = Mapping[str, str]
    # The variables of an option, the one that counts most first, and how their text is read.
    Variables: TypeAlias = dict[str, Callable[[str], object]]
    # Options by name: their default, written as in a variable, and their variables.
    Options: TypeAlias = dict[str, tuple[str, Variables]]


def is_disabled(environ: Environ) -> bool:
    """Tell whether tracing is to stay off."""
    variable = "OTEL_SDK_DISABLED"
    text = text_of(environ, variable).lower()
    if text not in ("", "true", "false"):
        ignore(variable, text, "it must be true or false", "false")
    return text == "true"


def resource(environ: Environ) -> dict[str, str]:
    """Return the resource attributes."""
    attributes = dict(pairs(environ, "OTEL_RESOURCE_ATTRIBUTES"))
    if service_name := text_of(environ, "OTEL_SERVICE_NAME"):
        attributes["service.name"] = service_name
    elif not attributes.get("service.name", "unset"):
        del attributes["service.name"]
    return attributes


def sampling(environ: Environ) -> tuple[float | None, _Sampler | None]:
    """Return the sampling rate and the sampler, of which at most one is there."""
    variable = "OTEL_TRACES_SAMPLER"
    text = text_of(environ, variable).lower()
    if text == "parentbased_traceidratio":
        return _rate(environ), None
    if text == "traceidratio":
        return None, TraceIdRatio(_rate(environ))
    samplers = {
        "": None,
        "always_on": AlwaysOn(),
        "always_off": AlwaysOff(),
        "parentbased_always_on": ParentBased(AlwaysOn()),
        "parentbased_always_off": ParentBased(AlwaysOff()),
    }
    if text not in samplers:
        known = f"{', '.join(filter(None, samplers))}, traceidratio or parentbased_traceidratio"
        ignore(variable, text, f"it must be {known}", "parentbased_always_on")
    return None, samplers.get(text)


def propagators(environ: Environ) -> tuple[list[str], list[str]]:
    """Return the formats to read and those to write."""
    variable = "OTEL_PROPAGATORS"
    standard = ["w3c", "baggage"]
    names = [name for name in map(str.strip, text_of(environ, variable).split(",")) if name]
    if "none" in names:
        return [], []
    extract: list[str] = []
    inject: list[str] = []
    refused: list[str] = []
    for name in dict.fromkeys(names):
        if name not in _PROPAGATORS:
            refused.append(name)
            continue
        reads, writes = _PROPAGATORS[name]
        extract += [reads] if reads not in extract else []
        inject.append(writes)
    for name in refused:
        known = f"{', '.join(_PROPAGATORS)} or none"
        used = "the rest" if inject else "tracecontext,baggage"
        ignore(variable, name, f"it must be {known}", used)
    return (extract, inject) if inject else (standard, standard)


# What OpenTelemetry calls a propagator: the format that it reads, and the one that it writes.
_PROPAGATORS = {
    "tracecontext": ("w3c", "w3c"),
    "baggage": ("baggage", "baggage"),
    "b3": ("b3", "b3-single"),
    "b3multi": ("b3", "b3"),
    "jaeger": ("jaeger", "jaeger"),
    "xray": ("aws", "aws"),
    "ottrace": ("ot", "ot"),
}


def _rate(environ: Environ) -> float:
    options: Options = {"rate": ("1.0", {"OTEL_TRACES_SAMPLER_ARG": _number})}
    rate: float = read(environ, TraceIdRatio, options).get("rate", 1.0)
    return rate


def limits(environ: Environ) -> SpanLimits:
    """Return how much a span may hold."""
    return SpanLimits(**read(environ, SpanLimits, _LIMITS))


def queue(environ: Environ) -> QueueConfig:
    """Return how many spans may wait, and how long."""
    return QueueConfig(**read(environ, QueueConfig, _QUEUE))


def text_of(environ: Environ, variable: str) -> str:
    """Return the text of a variable; nothing where it is not set."""
    return environ.get(variable, "").strip()


def first(environ: Environ, *variables: str) -> tuple[str, str]:
    """Return the first of the variables that is set, and its text."""
    texts = ((variable, text_of(environ, variable)) for variable in variables)
    return next((pair for pair in texts if pair[1]), (variables[0], ""))


def pairs(environ: Environ, variable: str) -> Iterator[tuple[str, str]]:
    """Give the entries of a list `key=value,key=value`, both percent-encoded."""
    for entry in filter(None, map(str.strip, text_of(environ, variable).split(","))):
        key, equals, value = entry.partition("=")
        try:
            if not (equals and key.strip()):
                raise ValueError("an entry must be key=value")
            yield _decoded(key), _decoded(value)
        except ValueError as error:
            ignore(variable, entry, error, "the rest")


def read(environ: Environ, make: Callable[..., object], options: Options) -> dict[str, Any]:
    """Return the options that variables say something about which `make` takes."""
    taken: dict[str, Any] = {}
    ignored: dict[str, tuple[str, ValueError, str]] = {}
    for name, (default, variables) in options.items():
        refused: dict[str, tuple[str, ValueError]] = {}
        used = default
        for variable, read_text in variables.items():
            text = text_of(environ, variable)
            if not text:
                continue
            try:
                value = read_text(text)
                make(**{name: value})
            except ValueError as error:
                refused[variable] = text, error
            else:
                taken[name], used = value, _shown(variable, text)
                break
        ignored.update({variable: (*why, used) for variable, why in refused.items()})
    for variable, (text, reason, used) in ignored.items():
        ignore(variable, text, reason, used)
    return taken


def ignore(variable: str, text: str, why: object, used: str) -> None:
    """Say in the log that what a variable says is not used, and what is used."""
    warn(f"{_shown(variable, text)} is ignored: {why}; {used} is used")


def _shown(variable: str, text: str) -> str:
    # Headers hold keys, and URLs may hold passwords.
    return variable if variable.endswith(("_HEADERS", "_ENDPOINT")) else f"{variable}={text!r}"


def warn(text: str) -> None:
    """Write a line to the log."""
    import logging
    from contextlib import suppress

    # A handler of the application that raises is no reason for it not to start.
    with suppress(Exception):
        logging.getLogger("nanospan").warning("%s", text)


def _decoded(text: str) -> str:
    text = text.strip()
    if "%" not in text:
        return text
    from urllib.parse import unquote

    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("percent-encoded text must be UTF-8") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError("it must be a number") from None


def whole(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise ValueError("it must be a whole number") from None


def milliseconds(text: str) -> float:
    """Read milliseconds; the answer is in seconds."""
    return whole(text) / 1000


_LIMITS: Options = {
    "attribute_count": (
        "128",
        {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": whole, "OTEL_ATTRIBUTE_COUNT_LIMIT": whole},
    ),
    "attribute_value_length": (
        "no limit",
        {
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT": whole,
            "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": whole,
        },
    ),
    "event_count": ("128", {"OTEL_SPAN_EVENT_COUNT_LIMIT": whole}),
    "link_count": ("128", {"OTEL_SPAN_LINK_COUNT_LIMIT": whole}),
    "attribute_per_event_count": (
        "128",
        {"OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT": whole, "OTEL_ATTRIBUTE_COUNT_LIMIT": whole},
    ),
    "attribute_per_link_count": (
        "128",
        {"OTEL_LINK_ATTRIBUTE_COUNT_LIMIT": whole, "OTEL_ATTRIBUTE_COUNT_LIMIT": whole},
    ),
}

_QUEUE: Options = {
    "max_coalescing_delay": ("1000", {"OTEL_BSP_SCHEDULE_DELAY": milliseconds}),
    "max_entries": ("10000", {"OTEL_BSP_MAX_QUEUE_SIZE": whole}),
    "max_batch_size": ("512", {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": whole}),
}
