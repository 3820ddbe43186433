"""What makes the spans, as the SDK's `Resource` where that is installed."""

from __future__ import annotations

import os
import uuid
from typing import Any

import nanospan
from nanospan import _environment
from nanospan import _resource as _native
from nanospan.otel import _sdk

# Other SDKs than OpenTelemetry's give their own name (OpenTelemetry resource semantic conventions,
# "Telemetry SDK").
_OURSELVES = {
    "telemetry.sdk.language": "python",
    "telemetry.sdk.name": "nanospan",
    "telemetry.sdk.version": nanospan.__version__,
}


def detect() -> Any:
    """Return the resource of this process."""
    found: dict[str, Any] = {
        **_OURSELVES,
        **_native.detect(),
        "process.pid": os.getpid(),
        "service.instance.id": str(uuid.uuid4()),
        **_environment.resource(os.environ),
    }
    sdk = _sdk.find("opentelemetry.sdk.resources", "Resource")
    return _sdk.resource(found) if sdk is None else sdk.create(found)


def of_process(resource: Any) -> Any:
    """Return what differs in each process of what a resource says."""
    known = resource.attributes
    own = {"process.pid": os.getpid(), "service.instance.id": str(uuid.uuid4())}
    return _sdk.resource({key: value for key, value in own.items() if key in known})


def attributes(resource: Any) -> dict[str, Any]:
    """Return what the core says of a resource: the SDK's name for itself is not ours."""
    given = dict(resource.attributes)
    return {**given, **_OURSELVES} if given.get("telemetry.sdk.name") == "opentelemetry" else given
