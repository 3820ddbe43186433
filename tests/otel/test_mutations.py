"""The comparison of two providers finds a provider's faults: what it does not find is not tested."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from support.otel.machine import SidesDiffer, machine_for
from support.otel.mutations import MUTATIONS, mutant

# The same calls each time: that a fault is found is no matter of luck.
SEARCH = settings(
    max_examples=1_000,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    print_blob=False,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("fault", MUTATIONS)
def test_the_comparison_finds_a_provider_where(fault):
    machine = machine_for(mutant(fault))
    with pytest.raises(SidesDiffer):
        run_state_machine_as_test(machine, settings=SEARCH)
