"""A fork while the worker sends: parent and child have connections and spans of their own."""

import os

import pytest

from support.process import checked_python
from support.reply import Accept, Silence

pytest_plugins = ("support.plugin",)
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PRELUDE = """
import os, sys, time, warnings
import nanospan
from nanospan import OtlpExporter, tracing

warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about threads and fork
nanospan.configure(service_name="forking", exporter=OtlpExporter(sys.argv[1], timeout=5))
"""


def _names(receiver):
    return sorted(span["name"] for span in receiver.spans())


def test_a_fork_while_a_request_is_on_its_way_harms_neither(receiver):
    receiver.reply(Accept(after=0.5))
    checked_python(
        PRELUDE
        + """
tracing.start_span("parent before").finish()
assert not nanospan.flush(0.1)
if pid := os.fork():
    assert nanospan.flush()
    assert os.waitpid(pid, 0)[1] == 0
    tracing.start_span("parent after").finish()
else:
    tracing.start_span("child").finish()
""",
        receiver.endpoint,
        timeout=20,
    )
    assert _names(receiver) == ["child", "parent after", "parent before"]
    assert (len(receiver.requests), receiver.connections) == (3, 2)


def test_a_child_makes_its_own_connection_and_the_parent_keeps_its(receiver):
    checked_python(
        PRELUDE
        + """
def send(name):
    tracing.start_span(name).finish()
    assert nanospan.flush()

send("parent")
for _ in range(3):
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
        send("parent")
    else:
        send("child")
        send("child")
        break
""",
        receiver.endpoint,
        timeout=20,
    )
    assert _names(receiver) == ["child"] * 6 + ["parent"] * 4
    of_child = {r.connection for r in receiver.requests for s in r.spans if s["name"] == "child"}
    of_parent = {r.connection for r in receiver.requests for s in r.spans if s["name"] == "parent"}
    assert len(of_child) == 3
    assert of_child.isdisjoint(of_parent)


def test_a_child_of_a_parent_with_a_silent_collector_ends_in_time(receiver):
    receiver.reply(*[Silence()] * 10)
    checked_python(
        PRELUDE
        + """
tracing.start_span("parent").finish()
assert not nanospan.flush(0.1)
if pid := os.fork():
    begun = time.monotonic()
    assert os.waitpid(pid, 0)[1] == 0
    assert time.monotonic() - begun < 2.7
else:
    tracing.start_span("child").finish()
""",
        receiver.endpoint,
        timeout=20,
    )


def test_forks_while_threads_trace_and_the_worker_sends_lose_nothing_and_never_hang(receiver):
    out = checked_python(
        PRELUDE
        + """
import threading
stop = False
counts = []
def trace():
    count = 0
    while not stop:
        with tracing.start_as_current_span("thread"):
            count += 1
        nanospan.flush()
    counts.append(count)
threads = [threading.Thread(target=trace) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(20):
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
    else:
        with tracing.start_as_current_span("child"):
            pass
        assert nanospan.shutdown()
        os._exit(0)
stop = True
for thread in threads:
    thread.join()
print(sum(counts))
""",
        receiver.endpoint,
        timeout=60,
    )
    names = _names(receiver)
    assert (names.count("child"), names.count("thread")) == (20, int(out))
