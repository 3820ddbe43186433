"""A forked child traces on its own: nothing of its parent's is sent twice, waited for or locked."""

import json
import os

import pytest

from support.process import checked_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

PRELUDE = """
import os, sys, warnings
import nanospan
from nanospan import FileExporter, tracing

warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, about threads and fork
path = sys.argv[1]
nanospan.configure(service_name="forking", exporter=FileExporter(path))
"""


def _spans(tmp_path, code):
    path = tmp_path / "traces"
    checked_python(PRELUDE + code, path, timeout=30)
    requests = [json.loads(line) for line in path.read_text().split("\n") if line]
    scopes = [s for r in requests for rs in r["resourceSpans"] for s in rs["scopeSpans"]]
    spans = [span for scope in scopes for span in scope["spans"]]
    return [(span["name"], span["traceId"], span.get("parentSpanId", "-")) for span in spans]


def test_a_child_sends_its_own_spans_and_the_parent_its_own(tmp_path):
    spans = _spans(
        tmp_path,
        """
with tracing.start_as_current_span("before"):
    pass
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
    with tracing.start_as_current_span("parent"):
        pass
else:
    with tracing.start_as_current_span("child"):
        pass
""",
    )
    assert sorted(name for name, *_ in spans) == ["before", "child", "parent"]
    assert len({trace_id for _, trace_id, _ in spans}) == 3


def test_an_inherited_span_is_a_remote_parent_and_nothing_more(tmp_path):
    spans = _spans(
        tmp_path,
        """
with tracing.start_as_current_span("request") as request:
    tracing.start_span("finished before").finish()
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
    else:
        assert not request.is_recording()
        request.set_attribute("ignored", True)
        with tracing.start_as_current_span("work of the child"):
            pass
""",
    )
    (request,) = (span for span in spans if span[0] == "request")
    (work,) = (span for span in spans if span[0] == "work of the child")
    assert work[1] == request[1]
    assert work[2] != "-"
    assert sorted(name for name, *_ in spans) == ["finished before", "request", "work of the child"]


def test_ids_of_parent_and_children_differ(tmp_path):
    spans = _spans(
        tmp_path,
        """
children = []
for _ in range(5):
    pid = os.fork()
    if not pid:
        for _ in range(20):
            tracing.start_span("x").finish()
        break
    children.append(pid)
else:
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    for _ in range(20):
        tracing.start_span("x").finish()
""",
    )
    assert len(spans) == 120
    assert len({trace_id for _, trace_id, _ in spans}) == 120


def test_forks_while_the_worker_sends_and_threads_trace_never_hang(tmp_path):
    spans = _spans(
        tmp_path,
        """
import threading
stop = False
def trace():
    while not stop:
        with tracing.start_as_current_span("thread"):
            pass
        nanospan.flush()
threads = [threading.Thread(target=trace) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(30):
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
""",
    )
    assert sum(name == "child" for name, *_ in spans) == 30


def test_a_memory_exporter_begins_empty_in_a_child():
    checked_python(
        """
import os, warnings
import nanospan
warnings.simplefilter("ignore", DeprecationWarning)
memory = nanospan.MemoryExporter()
nanospan.configure(exporter=memory)
nanospan.tracing.start_span("parent").finish()
assert len(memory.spans()) == 1
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
else:
    nanospan.tracing.start_span("child").finish()
    assert [span.name for span in memory.spans()] == ["child"]
""",
        timeout=30,
    )


def test_to_a_child_process_an_inherited_parent_is_remote():
    checked_python(
        """
import os, warnings
import nanospan
warnings.simplefilter("ignore", DeprecationWarning)
memory = nanospan.MemoryExporter()
nanospan.configure(exporter=memory)
root = nanospan.tracing.start_span("root")
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
    root.finish()
else:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    nanospan.tracing.start_span("child", parent=root).finish()
    (request,) = map(ExportTraceServiceRequest.FromString, memory._otlp())
    (span,) = request.resource_spans[0].scope_spans[0].spans
    assert span.parent_span_id == root.span_id
    assert span.flags == 0x303, hex(span.flags)
""",
        timeout=30,
    )


def test_a_child_in_another_directory_writes_to_the_file_of_its_parent(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    checked_python(
        """
import os, sys, warnings
import nanospan
warnings.simplefilter("ignore", DeprecationWarning)
os.chdir(sys.argv[1])
nanospan.configure(exporter=nanospan.FileExporter("traces"))
os.chdir("elsewhere")
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
else:
    nanospan.tracing.start_span("child").finish()
""",
        tmp_path,
        timeout=30,
    )
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert '"name":"child"' in (tmp_path / "traces").read_text()


def test_what_a_child_does_wrong_with_an_inherited_span_is_ignored_without_a_word():
    checked_python(
        """
import os, warnings
import nanospan
warnings.simplefilter("ignore", DeprecationWarning)
nanospan.configure(exporter=nanospan.MemoryExporter())
root = nanospan.tracing.start_span("root", start_time_ns=1_000)
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
    root.finish()
else:
    root.set_attribute("k", object())
    root.finish(end_time_ns=1)
    root.finish()
    nanospan.stats()
""",
        timeout=30,
    )
