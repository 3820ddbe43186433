"""A second opentelemetry-sdk in the same process, whose classes can be changed alone."""

import importlib.util
from types import ModuleType

import opentelemetry.sdk.trace


def copy_of_sdk() -> ModuleType:
    """`opentelemetry.sdk.trace` loaded anew: its classes are equal to the SDK's, and others."""
    # The SDK silences a warning of its own by the beginning of its module's name.
    spec = importlib.util.spec_from_file_location(
        "opentelemetry.sdk.trace.copied", opentelemetry.sdk.trace.__file__
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
