"""Three processes in a row, under asyncio and in threads: one trace, and every parent is right."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import chain
from support.collector import BUILD_TIMEOUT

pytest_plugins = ("support.plugin",)
pytestmark = pytest.mark.timeout(BUILD_TIMEOUT + 60)


def _command(role: str, *arguments: str) -> list[str]:
    return [sys.executable, chain.__file__, role, *arguments]


@contextmanager
def _server(folder: Path, role: str, *arguments: str) -> Iterator[str]:
    """A server of the chain, by its URL; fails if it ends badly or says anything."""
    with (folder / f"{role}.log").open("w+") as log:
        process = subprocess.Popen(
            _command(role, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()
            status = process.wait(30)
            process.stdout.close()
            log.seek(0)
            assert (status, log.read()) == (0, "")


# What the edge writes and the middle reads; what the middle writes and the back reads.
CHAINS = [
    ("w3c", "datadog"),
    ("b3-single", "aws"),
    ("jaeger", "gcp"),
    ("b3", "instana"),
    ("datadog", "w3c"),
]


@pytest.mark.parametrize(("first", "second"), CHAINS)
def test_three_processes_make_one_trace_whatever_the_formats(collector, tmp_path, first, second):
    reads = first.removesuffix("-single")
    with _server(tmp_path, "back", collector.endpoint, second, "w3c") as back:
        with _server(tmp_path, "middle", collector.endpoint, reads, second, back) as middle:
            command = _command("edge", collector.endpoint, "w3c", first, middle)
            edge = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert (edge.returncode, edge.stderr) == (0, "")
    spans = {span["name"]: span for span in collector.spans()}
    assert len(spans) == len(collector.spans()) == 5 * chain.REQUESTS
    for number in range(chain.REQUESTS):
        row = ["edge", "middle", "middle call", "back", "back query"]
        one = [spans[f"{name} {number}"] for name in row]
        assert len({span["trace_id"] for span in one}) == 1
        parents = [span["parent_id"] for span in one]
        assert parents == [None, *(span["span_id"] for span in one[:-1])]
    assert len({span["trace_id"] for span in spans.values()}) == chain.REQUESTS
