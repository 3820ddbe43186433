"""The comparison of two providers agrees where they agree, and finds a fault where one has it."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from support.otel.copy_of_sdk import copy_of_sdk
from support.otel.machine import STEPS, SidesDiffer, machine_for
from support.otel.mutations import MUTATIONS, mutant

# The same calls each time: that a fault is found is no matter of luck.
SEARCH = settings(
    STEPS,
    max_examples=1_000,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)

# Where nothing is meant to differ, not even the words of a warning may.
TestTheSdkBesideItself = machine_for(copy_of_sdk().TracerProvider, differences=()).TestCase
TestTheSdkBesideItself.settings = STEPS


@pytest.mark.parametrize("fault", MUTATIONS)
def test_the_comparison_finds_a_provider_where(fault):
    machine = machine_for(mutant(fault))
    with pytest.raises(SidesDiffer):
        run_state_machine_as_test(machine, settings=SEARCH)
