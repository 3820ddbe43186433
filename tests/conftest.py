"""What every test gets: a Hypothesis profile, its own context, and a closed pipeline after it."""

import contextvars
import functools
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import HealthCheck, settings

import nanospan

# Tests that `configure` reads the environment set the variables themselves.
for _variable in [name for name in os.environ if name.startswith("OTEL_")]:
    del os.environ[_variable]

# `make test` runs dev, `make check` ci, `make deep` night. No deadlines: how long an example takes
# says more about the machine than about the code. ci repeats itself, so that a red run can be
# replayed; the other two look somewhere new each time.
_common = {"deadline": None, "print_blob": True, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_common)
settings.register_profile("sample", max_examples=100, derandomize=True, **_common)
settings.register_profile("ci", max_examples=500, derandomize=True, **_common)
settings.register_profile("night", max_examples=20_000, **_common)
settings.register_profile("valgrind", max_examples=5, **_common)
settings.load_profile("dev")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run the test in a copy of the context, so that a span it leaves active ends with it."""
    item.runtest = functools.partial(contextvars.copy_context().run, item.runtest)  # type: ignore[method-assign]
    return (yield)


@pytest.fixture(autouse=True)
def _pipeline_ends_with_the_test() -> Iterator[None]:
    yield
    nanospan.shutdown()
