"""The fixtures; a test module takes them in with `pytest_plugins`."""

from collections.abc import Iterator

import pytest

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
