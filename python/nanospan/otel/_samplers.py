"""Samplers: which of the SDK's the core decides itself."""

from __future__ import annotations

from typing import Any

import nanospan
from nanospan.otel import _sdk

_SAMPLING = "opentelemetry.sdk.trace.sampling"
_NATIVE = (
    nanospan.AlwaysOff,
    nanospan.AlwaysOn,
    nanospan.AlwaysRecord,
    nanospan.ConsistentProbability,
    nanospan.ParentBased,
    nanospan.RateLimited,
    nanospan.RuleBased,
    nanospan.TraceIdRatio,
)
_BRANCHES = (
    "remote_parent_sampled",
    "remote_parent_not_sampled",
    "local_parent_sampled",
    "local_parent_not_sampled",
)


def native(sampler: Any) -> Any:
    """Return the core's sampler that decides as `sampler` does; None if Python has to be asked."""
    if _is_ours(sampler):
        return sampler
    module, name = type(sampler).__module__, type(sampler).__name__
    if module != _SAMPLING:
        return None
    if name == "StaticSampler":
        return {"RECORD_AND_SAMPLE": nanospan.AlwaysOn, "DROP": nanospan.AlwaysOff}.get(
            sampler._decision.name, lambda: None
        )()
    if name == "TraceIdRatioBased":
        return nanospan.TraceIdRatio(sampler.rate)
    if name in ("ParentBased", "ParentBasedTraceIdRatio"):
        root = native(sampler._root)
        branches = {name: native(getattr(sampler, f"_{name}")) for name in _BRANCHES}
        if root is not None and None not in branches.values():
            return nanospan.ParentBased(root, **branches)
    return None


def _is_ours(sampler: object) -> bool:
    # Callables are, too: the core calls them.
    return isinstance(sampler, _NATIVE) or (
        callable(sampler) and not hasattr(sampler, "should_sample")
    )


def from_environment() -> Any:
    """Return the sampler that the environment asks for, of the SDK's classes where they are."""
    make = _sdk.find(_SAMPLING, "_get_from_env_or_default")
    if make is not None:
        return make()
    import os

    from nanospan import _environment

    rate, sampler = _environment.sampling(os.environ)
    if sampler is not None:
        return sampler
    return nanospan.ParentBased(nanospan.TraceIdRatio(1.0 if rate is None else rate))
