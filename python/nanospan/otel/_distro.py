"""The distro for `opentelemetry-instrument`: defaults where the environment says nothing.

Only `opentelemetry-instrument` loads this module, so its package is there.
"""

from __future__ import annotations

import os

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined]

from nanospan._exporter import port_is_for_grpc


class NanospanDistro(BaseDistro):  # type: ignore[misc] # its package tells mypy no types
    """Sends traces as OTLP over HTTP; metrics and logs where their variables say so."""

    def _configure(self, **_: object) -> None:
        # With another distro installed, its configurator may be found before ours. This variable is
        # read after the distro has run, so choosing our distro chooses our configurator too.
        os.environ.setdefault("OTEL_PYTHON_CONFIGURATOR", "nanospan")
        os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
        if not port_is_for_grpc(os.environ):
            # The SDK's default for metrics and logs is gRPC, which takes another port than ours.
            os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
