"""nanospan's OpenTelemetry face beside opentelemetry-sdk, alike after each of many random calls.

What may differ, and why, is in `support.otel.differences`.
"""

import pytest
from hypothesis import settings

from support.otel.machine import STEPS, machine_for

otel = pytest.importorskip("nanospan.otel")

TestNanospanBesideTheSdk = machine_for(otel.TracerProvider).TestCase
TestNanospanBesideTheSdk.settings = settings(STEPS, max_examples=max(200, STEPS.max_examples))
