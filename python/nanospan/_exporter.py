"""The exporters that the environment variables ask for."""

from __future__ import annotations

from nanospan._core import ConsoleExporter, OtlpExporter
from nanospan._environment import first, ignore, milliseconds, pairs, read, text_of, warn

TYPE_CHECKING = False  # typing has the same, and takes milliseconds to import
if TYPE_CHECKING:
    from typing import Any

    from nanospan._core import _Exporter  # pyright: ignore[reportPrivateUsage]
    from nanospan._environment import Environ, Options

# opentelemetry-sdk has a name for each protocol, too.
_OTLP = {"otlp", "otlp_proto_http", "otlp_proto_grpc"}
_KNOWN = {*_OTLP, "console", "none"}


def exporters(environ: Environ) -> list[_Exporter]:
    """Return the exporters that `OTEL_TRACES_EXPORTER` names."""
    variable = "OTEL_TRACES_EXPORTER"
    names = [name.strip().lower() for name in text_of(environ, variable).split(",")]
    known = [name for name in names if name in _KNOWN] or ["otlp"]
    for name in names:
        if name and name not in _KNOWN:
            ignore(variable, name, "it must be otlp, console or none", ", ".join(known))
    made: list[_Exporter] = []
    if not _OTLP.isdisjoint(known):
        warn_of_protocol(environ, is_grpc="otlp_proto_grpc" in known)
        made.append(otlp(environ))
    if "console" in known:
        made.append(ConsoleExporter())
    return made


def otlp(environ: Environ, **given: Any) -> OtlpExporter:
    """Return the exporter of OTLP; what is given counts more than what variables say."""
    _warn_of_seconds(environ)
    options = read(environ, OtlpExporter, _OPTIONS)
    bound = read(environ, OtlpExporter, _BOUND)
    if bound:
        options["timeout"] = min(bound["timeout"], options.get("timeout", 10.0))
    options["headers"] = _headers(environ)
    return OtlpExporter(**{**options, **given})


def _headers(environ: Environ) -> dict[str, str]:
    variable, _ = first(environ, *for_traces("HEADERS"))
    headers: dict[str, str] = {}
    for name, value in pairs(environ, variable):
        try:
            OtlpExporter(headers={name: value})
        except ValueError:
            # The error names the header, but a key without a name looks like one.
            ignore(variable, name, "HTTP or nanospan does not allow a header in it", "the rest")
        else:
            headers[name] = value
    return headers


def warn_of_protocol(environ: Environ, *, is_grpc: bool) -> None:
    """Say that spans leave as OTLP/HTTP in protobuf, where that is not what was asked for."""
    variable, protocol = first(environ, *for_traces("PROTOCOL"))
    if is_grpc:
        variable, protocol = "OTEL_TRACES_EXPORTER", "otlp_proto_grpc"
    if protocol and protocol.lower() != "http/protobuf":
        used = "OTLP/HTTP, for which collectors have port 4318,"
        ignore(variable, protocol, "it must be http/protobuf", used)
    elif not protocol and port_is_for_grpc(environ):
        # Where opentelemetry-sdk would speak gRPC.
        endpoint_variable, _ = first(environ, *for_traces("ENDPOINT"))
        warn(
            f"{endpoint_variable} has port 4317, on which collectors expect gRPC; "
            "OTLP/HTTP is sent there, for which they have port 4318"
        )


def port_is_for_grpc(environ: Environ) -> bool:
    """Tell whether the endpoint has the port on which collectors expect gRPC."""
    _, endpoint = first(environ, *for_traces("ENDPOINT"))
    authority, _, _ = endpoint.rpartition("//")[2].partition("/")
    return authority.endswith(":4317")


def _warn_of_seconds(environ: Environ) -> None:
    """Say so where a timeout looks as if it was meant for opentelemetry-sdk."""
    variable, text = first(environ, *for_traces("TIMEOUT"))
    if text.isdecimal() and 0 < int(text) < 100:
        warn(
            f"{variable}={text!r} is taken as milliseconds, as OpenTelemetry specifies it; "
            "opentelemetry-sdk takes seconds"
        )


def for_traces(setting: str) -> tuple[str, str]:
    """Return the variables of a setting, that for traces first."""
    return f"OTEL_EXPORTER_OTLP_TRACES_{setting}", f"OTEL_EXPORTER_OTLP_{setting}"


def _traces_url(text: str) -> str:
    """Return the URL for traces below a URL for all signals."""
    url, mark, query = text.partition("?")
    return f"{url.rstrip('/')}/v1/traces{mark}{query}"


def _timeout(text: str) -> float:
    """Read milliseconds. OpenTelemetry's 0 stands for no timeout; here every wait has an end."""
    return milliseconds(text) or 3600.0


_OPTIONS: Options = {
    "endpoint": (
        "http://localhost:4318/v1/traces",
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": str,
            "OTEL_EXPORTER_OTLP_ENDPOINT": _traces_url,
        },
    ),
    "timeout": ("10000", dict.fromkeys(for_traces("TIMEOUT"), _timeout)),
    "compression": ("the default", dict.fromkeys(for_traces("COMPRESSION"), str.lower)),
}

# OpenTelemetry bounds an export once more, in what calls the exporter: the shorter time counts.
_BOUND: Options = {"timeout": ("no bound", {"OTEL_BSP_EXPORT_TIMEOUT": _timeout})}
