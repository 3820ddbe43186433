"""`configure`: what the call does not say is read from the environment, else has a default."""

from __future__ import annotations

import os

from nanospan._core import _configure as build  # pyright: ignore[reportPrivateUsage] # for us alone

TYPE_CHECKING = False  # typing has the same, and takes milliseconds to import
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nanospan._core import (
        Keep,
        QueueConfig,
        SpanLimits,
        _Exporter,  # pyright: ignore[reportPrivateUsage]
        _Sampler,  # pyright: ignore[reportPrivateUsage]
    )


def configure(
    *,
    service_name: str | None = None,
    resource: Mapping[str, object] | None = None,
    exporter: _Exporter | Sequence[_Exporter] | None = None,
    sampling_rate: float | None = None,
    sampler: _Sampler | None = None,
    limits: SpanLimits | None = None,
    queue: QueueConfig | None = None,
    late_sampling: bool = False,
    keep: Keep | None = None,
) -> None:
    """Build the pipeline that all tracers use from now on, those taken before included.

    What is not given is taken from the `OTEL_*` environment variables as they are at the call, and
    has its default where they say nothing. Where `OTEL_SDK_DISABLED` is `true`, nothing happens.

    `service_name` becomes the resource attribute `service.name`, beside the attributes of
    `resource` and what is detected of process and host; a value of None leaves a detected attribute
    out. `exporter` is one exporter or a sequence of them; an empty one exports nothing.
    `sampling_rate` is a number from 0 to 1: 0.1 samples 1 of every 10 requests; or a `sampler` is
    asked for every span; with neither every request is sampled. With `late_sampling` also what the
    sampler drops is recorded until its local trace ends, so that `set_should_sample` can bring it
    back; with `keep` too, and what that asks for is brought back by itself.

    A second call builds a new pipeline and ends the old one, which sends what it has within two
    seconds; a span finishes into the pipeline it began in. Raises `TypeError` or `ValueError`
    naming the argument, and `OSError` for a file that cannot be written; then nothing has changed.
    """
    # Not at the import of nanospan: libraries import it too, and most programs call this once.
    from nanospan import _environment, _resource

    environ = os.environ
    if _environment.is_disabled(environ):
        return
    if sampling_rate is None and sampler is None:
        sampling_rate, sampler = _environment.sampling(environ)
    if exporter is None:
        from nanospan._exporter import exporters

        exporter = exporters(environ)
    build(
        service_name=service_name,
        resource=resource,
        detected={**_resource.detect(), **_environment.resource(environ)},
        exporter=exporter,
        sampling_rate=sampling_rate,
        sampler=sampler,
        limits=_environment.limits(environ) if limits is None else limits,
        queue=_environment.queue(environ) if queue is None else queue,
        late_sampling=late_sampling,
        keep=keep,
    )
