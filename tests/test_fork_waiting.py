"""A fork waits for the worker only while a request is on its way, and never for long."""

import os
import socket
import sys

import pytest

from support.process import checked_python
from support.reply import Silence, Status

pytest_plugins = ("support.plugin",)
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PRELUDE = """
import os, sys, time, warnings
import nanospan
from nanospan import OtlpExporter, tracing

nanospan.configure(service_name="forking", exporter=OtlpExporter(sys.argv[1], timeout=30))

def fork_takes(child="forked"):
    begun = time.monotonic()
    pid = os.fork()
    took = time.monotonic() - begun
    if not pid:
        tracing.start_span(child).finish()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return took

def wait_for_error(text):
    deadline = time.monotonic() + 20
    while text not in str(nanospan.stats()["last_error"]):
        assert time.monotonic() < deadline, nanospan.stats()
        time.sleep(0.005)
"""


def test_a_fork_does_not_wait_for_the_next_try_of_a_batch(receiver):
    receiver.reply(*[Status(503, retry_after="3")] * 1)
    checked_python(
        PRELUDE
        + """
warnings.simplefilter("error")
tracing.start_span("tried again").finish()
nanospan.flush(0)
wait_for_error("503")
assert min(fork_takes() for _ in range(5)) < 0.04
assert nanospan.flush(20)
""",
        receiver.endpoint,
        timeout=40,
    )
    assert [span["name"] for span in receiver.spans()] == ["tried again"]
    first, second = receiver.requests
    assert second.time - first.time > 2.5


def test_a_fork_does_not_wait_for_a_connection_that_is_being_made():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        # One connection fills the queue: the kernel lets the next one wait.
        with socket.create_connection(address):
            checked_python(
                PRELUDE
                + """
warnings.simplefilter("error")
tracing.start_span("waits").finish()
assert not nanospan.flush(0.2)
assert nanospan.stats()["last_error"] is None
assert min(fork_takes() for _ in range(5)) < 0.04
assert not nanospan.flush(0.2)
assert nanospan.stats()["queued_spans"] == 1
os._exit(0)
""",
                f"http://127.0.0.1:{address[1]}",
                timeout=40,
            )


def test_a_fork_waits_50_ms_at_most_for_an_answer(receiver):
    receiver.reply(Silence())
    checked_python(
        PRELUDE
        + """
warnings.simplefilter("ignore", DeprecationWarning)  # the thread that sends cannot be gone
tracing.start_span("unanswered").finish()
assert not nanospan.flush(0.2)
took = [fork_takes() for _ in range(5)]
assert 0.04 < min(took) < 0.1, took
os._exit(0)
""",
        receiver.endpoint,
        timeout=40,
    )
    assert len(receiver.requests) == 1


def test_a_child_inherits_no_connection(receiver):
    checked_python(
        PRELUDE
        + """
def sockets():
    links = (f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd"))
    return sum(os.path.exists(link) and os.readlink(link).startswith("socket:") for link in links)

tracing.start_span("parent").finish()
assert nanospan.flush(20)
assert sockets() > 0
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
else:
    assert sockets() == 0
    os._exit(0)
tracing.start_span("parent").finish()
""",
        receiver.endpoint,
        timeout=40,
    )
    assert len(receiver.spans()) == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python warns since 3.12")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_python_does_not_warn_about_forks_between_requests(receiver, host):
    checked_python(
        PRELUDE
        + """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for n in range(20):
        tracing.start_span("parent").finish()
        if n % 2:
            assert nanospan.flush(20)
        took = fork_takes()
        assert not caught or took > 0.045, (took, [str(w.message) for w in caught])
        del caught[:]
""",
        receiver.endpoint.replace("127.0.0.1", host),
        timeout=40,
    )
    assert len(receiver.spans()) == 20
