"""The OpenTelemetry face beside opentelemetry-sdk, through random calls: see `support.otel`."""

from hypothesis import settings

from support.otel.copy_of_sdk import copy_of_sdk
from support.otel.machine import machine_for

STEPS = settings(stateful_step_count=30)

TestTheSdkBesideItself = machine_for(copy_of_sdk().TracerProvider, differences=()).TestCase
TestTheSdkBesideItself.settings = STEPS
