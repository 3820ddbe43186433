"""The fixtures; a test module takes them in with `pytest_plugins`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.collector import Collector, running_collector
from support.receiver import Receiver, running_receiver
from support.recording import Recording
from support.recording import recording as new_recording


@pytest.fixture
def recording() -> Iterator[Recording]:
    """A configured nanospan whose finished spans stay in memory."""
    with new_recording() as recorded:
        yield recorded


@pytest.fixture
def unconfigured() -> None:
    """The state before the first `configure` and after `shutdown`: nothing is recorded."""
    with new_recording():
        pass


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """A running OpenTelemetry Collector. The first test may have to build it: BUILD_TIMEOUT."""
    with running_collector(tmp_path) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A strict OTLP/HTTP receiver; the test fails when it has complaints left."""
    with running_receiver() as running:
        yield running
