"""Many spans for a long time, and a Collector that is killed twice meanwhile.

Ten seconds of it in the suite; `make soak` takes two minutes.
"""

import json
import logging
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from support.collector import BUILD_TIMEOUT, running_collector

pytest_plugins = ("support.plugin",)

SECONDS = float(os.environ.get("NANOSPAN_SOAK_SECONDS", "10"))
RATE = float(os.environ.get("NANOSPAN_SOAK_RATE", "10000"))  # spans a second

# Shares of the time. The first kill belongs to the warming up: it fills the queue, once.
KILLS = ((0.15, 0.2), (0.6, 0.65))  # killed, and started again
WARM, LATE = (0.4, 0.6), (0.85, 1.0)

MAX_BATCH = 512 + 4
"""Spans that may be on their way when the Collector dies: a batch, made of whole requests."""

pytestmark = pytest.mark.timeout(BUILD_TIMEOUT + SECONDS + 90)


class Sample(NamedTuple):
    """What the load said at one moment."""

    elapsed: float
    resident_bytes: int
    stats: dict


class Soak(NamedTuple):
    """One run: what the load said, and the ids of the spans in the Collector's file."""

    samples: list[Sample]
    arrived: list[int]

    @property
    def end(self):
        """The last sample, after the shutdown."""
        return self.samples[-1]

    def during(self, shares):
        """The samples of a part of the time."""
        begin, end = (share * SECONDS for share in shares)
        return [sample for sample in self.samples[:-1] if begin <= sample.elapsed <= end]


@pytest.fixture(scope="module")
def soak(tmp_path_factory):
    """The run that all tests here look at."""
    folder = tmp_path_factory.mktemp("soak")
    with running_collector(folder) as collector:
        samples = _run(collector)
        arrived = [
            int(span["spanId"], 16)
            for line in collector.lines()
            for resource_spans in json.loads(line)["resourceSpans"]
            for scope_spans in resource_spans["scopeSpans"]
            for span in scope_spans["spans"]
        ]
    collector.file.unlink()  # two minutes of it are half a gigabyte
    logging.getLogger(__name__).info("%s; %d spans in the file", samples[-1], len(arrived))
    return Soak(samples, arrived)


def _run(collector):
    ahead = [
        (share * SECONDS, do)
        for kill, restart in KILLS
        for share, do in ((kill, collector.kill), (restart, collector.restart))
    ]
    samples = []
    command = [sys.executable, "-m", "support.load", collector.endpoint, str(SECONDS), str(RATE)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as load:
        try:
            for line in load.stdout:
                samples.append(Sample(**json.loads(line)))
                if ahead and samples[-1].elapsed >= ahead[0][0]:
                    ahead.pop(0)[1]()
            assert load.wait(10) == 0
        finally:
            load.kill()
    assert ahead == []
    return samples


def test_the_load_kept_its_rate(soak):
    assert soak.end.stats["finished"] >= 0.95 * RATE * SECONDS


def test_every_finished_span_was_sent_or_is_counted_as_lost(soak):
    stats = soak.end.stats
    lost = sum(count for reason, count in stats["dropped"].items() if reason != "live_limit")
    assert stats["sent"] + lost == stats["finished"] == stats["recorded"]
    assert (stats["open_spans"], stats["queued_spans"], stats["queued_bytes"]) == (0, 0, 0)


def test_the_collector_has_every_span_that_counts_as_sent(soak):
    kills = len(KILLS)
    different = len(set(soak.arrived))
    sent = soak.end.stats["sent"]
    # More only where the Collector wrote a batch and died before it said so; that batch was sent
    # again, or is counted as lost.
    assert sent <= different <= sent + kills * MAX_BATCH
    assert len(soak.arrived) - different <= kills * MAX_BATCH


def test_sending_goes_on_after_each_restart(soak):
    (_, first), (second_kill, _) = KILLS
    before = soak.during((first, second_kill))
    after = soak.during(LATE)
    for samples in (before, after):
        sent = samples[-1].stats["sent"] - samples[0].stats["sent"]
        assert sent > 0.2 * RATE * (samples[-1].elapsed - samples[0].elapsed)


def test_memory_does_not_grow(soak):
    warm, late = (
        statistics.median(sample.resident_bytes for sample in soak.during(shares))
        for shares in (WARM, LATE)
    )
    assert late <= warm * 1.05 + 2**20
