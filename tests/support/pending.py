"""What some tests still wait for."""

import pytest

import nanospan

needs_otlp_exporter = pytest.mark.skipif(
    not hasattr(nanospan, "OtlpExporter"), reason="there is no OtlpExporter yet"
)
