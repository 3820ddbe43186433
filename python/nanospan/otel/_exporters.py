"""Which exporter sends the spans: one of ours, or one in Python by its entry point.

Ours stand in for those of opentelemetry-sdk with the same name as long as they can do what was
asked for. What they cannot, the exporter in Python does where it is installed.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from nanospan._core import ConsoleExporter
from nanospan._environment import first, text_of, warn
from nanospan._exporter import for_traces, otlp, port_is_for_grpc, warn_of_protocol

TYPE_CHECKING = False  # typing has the same, and takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, TypeAlias

    from opentelemetry.sdk.trace.export import SpanExporter

    from nanospan._core import _Exporter  # pyright: ignore[reportPrivateUsage]
    from nanospan._environment import Environ

    # The arguments that a vendor has for exporters in Python, by their class.
    Arguments: TypeAlias = Mapping[type[Any], Mapping[str, Any]]

_HTTP, _GRPC = "otlp_proto_http", "otlp_proto_grpc"
_OURS = {"otlp", _HTTP, _GRPC, "console", "none"}


def exporters(
    names: Iterable[str],
    environ: Environ,
    arguments: Arguments | None = None,
    *,
    beyond_ours: str = "",
) -> tuple[list[_Exporter], list[SpanExporter]]:
    """Return our exporters and those in Python, for names as in `OTEL_TRACES_EXPORTER`.

    `beyond_ours` names what only exporters in Python can do, if that was asked for. A name that no
    package has is left out, with a warning.
    """
    ours: list[_Exporter] = []
    theirs: list[SpanExporter] = []
    for name in dict.fromkeys(_entry_point(name, environ) for name in names):
        if name in ("", "none"):
            continue
        # Loading an entry point imports the exporter, which ours are there to spare.
        given: Mapping[str, Any] = arguments.get(_load(name), {}) if arguments else {}
        reason = beyond_ours or _beyond_ours(name, environ)
        if not reason and (exporter := _make(name, environ, given)):
            ours.append(exporter)
        elif make := _load(name):
            theirs.append(make(**given))
        elif exporter := _make(name, environ, {}):
            package = "opentelemetry-exporter-" + name.replace("_", "-")
            used = "plain OTLP/HTTP is sent, for which collectors have port 4318"
            warn(f"{reason} takes {package}: without it, {used}")
            ours.append(exporter)
        else:
            warn(f"the traces exporter {name!r} is ignored: no installed package has it")
    return ours, theirs


def _entry_point(name: str, environ: Environ) -> str:
    """Return what an exporter is called where packages register theirs."""
    name = name.strip()
    name = name.lower() if name.lower() in _OURS else name
    if name != "otlp":
        return name
    _, protocol = first(environ, *for_traces("PROTOCOL"))
    is_grpc = protocol == "grpc" if protocol else port_is_for_grpc(environ)
    return _GRPC if is_grpc else _HTTP


def _beyond_ours(name: str, environ: Environ) -> str:
    """Return what was asked of an exporter that ours cannot do."""
    if name == _GRPC:
        return "gRPC"
    if name == _HTTP:
        settings = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
        variables = [variable for setting in settings for variable in for_traces(setting)]
        return next((variable for variable in variables if text_of(environ, variable)), "")
    return ""


def _make(name: str, environ: Environ, given: Mapping[str, Any]) -> _Exporter | None:
    """Make our exporter; None where there is none, or none with these arguments."""
    given = {key: value for key, value in given.items() if value is not None}
    if name == "console" and not given:
        return ConsoleExporter()
    if name not in (_HTTP, _GRPC) or given.keys() - {
        "endpoint",
        "headers",
        "timeout",
        "compression",
    }:
        return None
    if "compression" in given:
        # An enum, in each package one of its own.
        compression = given["compression"]
        given["compression"] = getattr(compression, "value", compression)
        if given["compression"] not in ("gzip", "none"):
            return None
    if name == _HTTP:
        warn_of_protocol(environ, is_grpc=False)
    return otlp(environ, **given)


def _load(name: str) -> Any:
    """Load an exporter in Python; None where it is not installed."""
    for entry_point in entry_points(group="opentelemetry_traces_exporter", name=name):
        try:
            return entry_point.load()
        except ImportError as error:
            warn(f"the traces exporter {name!r} does not load: {error}")
    return None
