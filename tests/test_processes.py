"""Workers of `multiprocessing`, forks beside threads and exporters, and forks without Python."""

import os
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from support.plain import PlainSpan, json_spans
from support.process import checked_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")

METHODS = ["fork", "spawn", "forkserver"]

CONFIGURE = """
import multiprocessing, os, sys, threading, time
import nanospan
from nanospan import FileExporter, QueueConfig, tracing

# No batch is full and no span old enough: what arrives was sent because the process ended.
queue = QueueConfig(max_coalescing_delay=3600)
nanospan.configure(exporter=FileExporter(sys.argv[1]), queue=queue)

def traced(name):
    with tracing.start_as_current_span(name):
        pass
    return os.getpid()
"""

BUSY = '''
import json, os, sys, time
import nanospan
from nanospan import FileExporter, tracing

def block_the_worker(pipe):
    """Configures an exporter whose write hangs: nobody reads the other end of the pipe."""
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    nanospan.configure(exporter=FileExporter(pipe))
    tracing.start_span("large", attributes={"text": "x" * 1_000_000}).finish()
    assert not nanospan.flush(timeout=0.2)
    return reader

def read_all(reader, until):
    """What comes out of the pipe, up to the first line in which `until` says so."""
    deadline, text = time.monotonic() + 20, b""
    while not any(until in line for line in text.split(b"\\n")[:-1]):
        assert time.monotonic() < deadline, text[-200:]
        try:
            text += os.read(reader, 1 << 20)
        except BlockingIOError:
            time.sleep(0.01)
    return text
'''


def _spans(tmp_path: Path, code: str) -> list[PlainSpan]:
    """Runs a program that writes to the file which it gets the path of."""
    program, traces = tmp_path / "program.py", tmp_path / "traces"
    program.write_text(dedent(code))
    checked_python(program, traces, timeout=60)
    return json_spans(traces.read_text())


def _names(spans: list[PlainSpan]) -> list[str]:
    return sorted(span["name"] for span in spans)


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_process_sends_its_spans_before_it_ends(tmp_path, method):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
if __name__ == "__main__":
    traced("parent")
    worker = multiprocessing.get_context({method!r}).Process(target=traced, args=("worker",))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
""",
    )
    assert _names(spans) == ["parent", "worker"]
    assert len({span["trace_id"] for span in spans}) == 2


@pytest.mark.parametrize("method", METHODS)
def test_the_workers_of_a_closed_pool_send_their_spans(tmp_path, method):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
if __name__ == "__main__":
    pool = multiprocessing.get_context({method!r}).Pool(2)
    pool.map(traced, [f"task {{n}}" for n in range(8)], chunksize=1)
    pool.close()
    pool.join()
""",
    )
    assert _names(spans) == [f"task {n}" for n in range(8)]


@pytest.mark.parametrize("method", METHODS)
def test_the_workers_of_a_process_pool_executor_send_their_spans(tmp_path, method):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
from concurrent.futures import ProcessPoolExecutor

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        assert len(list(pool.map(traced, [f"task {{n}}" for n in range(8)]))) == 8
""",
    )
    assert _names(spans) == [f"task {n}" for n in range(8)]


@pytest.mark.parametrize("method", METHODS)
def test_threads_that_outlive_the_target_of_a_worker_lose_no_spans(tmp_path, method):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
from concurrent.futures import ThreadPoolExecutor

def later():
    time.sleep(0.1)
    traced("thread")

def target():
    threading.Thread(target=later).start()
    ThreadPoolExecutor(1).submit(later)
    traced("target")

if __name__ == "__main__":
    worker = multiprocessing.get_context({method!r}).Process(target=target)
    worker.start()
    worker.join()
""",
    )
    assert _names(spans) == ["target", "thread", "thread"]


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "raise KeyError('of the worker')"])
def test_a_worker_that_fails_sends_its_spans(tmp_path, end):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
def target():
    os.close(2)
    traced("worker")
    {end}

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=target)
    worker.start()
    worker.join()
    assert worker.exitcode in (1, 3)
""",
    )
    assert _names(spans) == ["worker"]


def test_a_worker_of_a_program_that_imports_multiprocessing_late_sends_its_spans(tmp_path):
    spans = _spans(
        tmp_path,
        CONFIGURE.replace("import multiprocessing, os", "import os")
        + """
assert "multiprocessing" not in sys.modules
import multiprocessing
worker = multiprocessing.get_context("fork").Process(target=traced, args=("worker",))
worker.start()
worker.join()
""",
    )
    assert _names(spans) == ["worker"]


@pytest.mark.parametrize("method", METHODS)
def test_a_worker_that_alone_is_configured_sends_its_spans_and_its_own_workers_do(tmp_path, method):
    spans = _spans(
        tmp_path,
        f"""
import multiprocessing, sys
import nanospan
from nanospan import FileExporter, QueueConfig, tracing

def inner():
    tracing.start_span("inner").finish()

def outer(path):
    queue = QueueConfig(max_coalescing_delay=3600)
    nanospan.configure(exporter=FileExporter(path), queue=queue)
    tracing.start_span("outer").finish()
    worker = multiprocessing.get_context("fork").Process(target=inner)
    worker.start()
    worker.join()
    tracing.start_span("outer, later").finish()

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    worker = context.Process(target=outer, args=(sys.argv[1],))
    worker.start()
    worker.join()
""",
    )
    assert _names(spans) == ["inner", "outer", "outer, later"]


def test_a_program_without_multiprocessing_is_not_made_to_import_it():
    checked_python(
        """
import os, sys
import nanospan
nanospan.configure(exporter=nanospan.MemoryExporter())
nanospan.tracing.start_span("x").finish()
if pid := os.fork():
    assert os.waitpid(pid, 0)[1] == 0
assert not [name for name in sys.modules if "multiprocessing" in name]
"""
    )


def test_a_worker_whose_exporter_hangs_ends_within_two_seconds(tmp_path):
    checked_python(
        BUSY
        + """
import multiprocessing, threading

def target():
    tracing.start_span("worker", attributes={"text": "x" * 1_000_000}).finish()
    threading.Thread(target=time.sleep, args=(0.1,)).start()

reader = block_the_worker(sys.argv[1])
worker = multiprocessing.get_context("fork").Process(target=target)
worker.start()
begun = time.monotonic()
worker.join(20)
took = time.monotonic() - begun
assert worker.exitcode == 0 and 1.9 < took < 3.5, took
os._exit(0)  # the own exit would wait for the reader too
""",
        tmp_path / "pipe",
    )


def test_a_fork_while_the_worker_sends_waits_50_ms_and_each_span_arrives_once(tmp_path):
    checked_python(
        BUSY
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # the thread that sends cannot be gone
reader = block_the_worker(sys.argv[1])
fd, path = sys.argv[1] + ".fd", sys.argv[1] + ".child"
for n in range(5):
    begun = time.monotonic()
    if not (pid := os.fork()):
        nanospan.configure(exporter=FileExporter(path))
        tracing.start_span(f"child {n}").finish()
        assert nanospan.shutdown()
        os._exit(0)
    took = time.monotonic() - begun
    assert 0.04 < took < 0.5, took
    assert os.waitpid(pid, 0)[1] == 0
    tracing.start_span(f"parent {n}").finish()
tracing.start_span("last").finish()
assert not nanospan.flush(timeout=0)
text = read_all(reader, b'"last"').decode()
names = [s["name"] for line in text.splitlines() for r in json.loads(line)["resourceSpans"]
         for scope in r["scopeSpans"] for s in scope["spans"]]
assert names == ["large", *(f"parent {n}" for n in range(5)), "last"], names
children = open(path).read()
assert [children.count(f'"child {n}"') for n in range(5)] == [1] * 5
""",
        tmp_path / "pipe",
    )


def test_an_idle_worker_is_gone_at_a_fork_and_sends_again_after_it(tmp_path):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + """
def threads():
    return len(os.listdir("/proc/self/task"))

seen = []
os.register_at_fork(after_in_parent=lambda: seen.append(threads()))
for n in range(50):
    traced(f"before {n}")
    if n % 2:
        assert nanospan.flush()
        assert threads() == 2
    if not (pid := os.fork()):
        traced(f"child {n}")
        sys.exit()
    assert os.waitpid(pid, 0)[1] == 0
    traced(f"after {n}")
assert nanospan.flush()
assert threads() == 2
""",
    )
    assert _names(spans) == sorted(
        f"{word} {n}" for word in ("before", "child", "after") for n in range(50)
    )


@pytest.mark.parametrize("forker", ["fork()", "threading.Thread(target=fork).start()"])
def test_what_waited_before_a_fork_is_sent_after_it_though_nothing_else_happens(tmp_path, forker):
    spans = _spans(
        tmp_path,
        CONFIGURE.replace("=3600", "=0.2")
        + f"""
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # about the thread of the program itself

def fork():
    traced("waiting")
    if not (pid := os.fork()):
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

{forker}
deadline = time.monotonic() + 20
while b"waiting" not in open(sys.argv[1], "rb").read():
    assert time.monotonic() < deadline
    time.sleep(0.05)
""",
    )
    assert _names(spans) == ["waiting"]


def test_a_flush_in_a_hook_before_a_fork_is_no_flush_in_vain(tmp_path):
    spans = _spans(
        tmp_path,
        "import nanospan, os; os.register_at_fork(before=lambda: flushed.append(nanospan.flush()))"
        + CONFIGURE
        + """
flushed = []
for n in range(5):
    traced(f"parent {n}")
    if not (pid := os.fork()):
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
assert flushed == [True] * 5
os._exit(0)
""",
    )
    assert _names(spans) == [f"parent {n}" for n in range(5)]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python warns since 3.12")
@pytest.mark.parametrize("how", ["os.fork", "Process", "forkpty", "preexec_fn"])
def test_python_does_not_warn_about_a_fork_of_one_python_thread(tmp_path, how):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
import subprocess, warnings

def fork(how, n):
    if how == "Process":
        worker = multiprocessing.get_context("fork").Process(target=traced, args=(f"child {{n}}",))
        worker.start()
        worker.join()
    elif how == "preexec_fn":
        subprocess.run(["true"], preexec_fn=lambda: nanospan.flush() and traced(f"child {{n}}")
                       and nanospan.flush(), check=True)
    else:
        pid, fd = os.forkpty() if how == "forkpty" else (os.fork(), -1)
        if not pid:
            traced(f"child {{n}}")
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for n in range(20):
        traced(f"parent {{n}}")
        if n % 2:
            assert nanospan.flush()
        fork({how!r}, n)
assert not caught, [str(w.message) for w in caught]
""",
    )
    assert _names(spans) == sorted(f"{word} {n}" for word in ("parent", "child") for n in range(20))


def test_two_hundred_children_at_once_neither_hang_nor_leak(tmp_path):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + """
from support.process import resident_bytes

import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # so many children may starve the worker

def children(number):
    pids = []
    for n in range(number):
        traced("parent")
        if not (pid := os.fork()):
            traced("child")
            sys.exit()
        pids.append(pid)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    assert nanospan.flush()
    return len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task")), resident_bytes()

before = children(100)
after = children(100)
assert before[:2] == after[:2]
assert after[2] - before[2] < 2_000_000, (before, after)
""",
    )
    assert _names(spans) == ["child"] * 200 + ["parent"] * 200
    assert len({span["trace_id"] for span in spans}) == 400


def test_a_child_of_a_child_of_a_child_has_not_kept_what_it_inherited(tmp_path):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + """
from support.process import resident_bytes
generation, sizes = 0, []
while generation < 40:
    traced(f"generation {generation}")
    sizes.append(resident_bytes())
    if pid := os.fork():
        assert os.waitpid(pid, 0)[1] == 0
        sys.exit()
    generation += 1
assert len(os.listdir("/proc/self/fd")) < 60
assert sizes[-1] - sizes[10] < 2_000_000, sizes
""",
    )
    assert _names(spans) == sorted(f"generation {n}" for n in range(40))


def test_threads_that_trace_and_workers_that_are_forked_beside_them_do_not_disturb_each_other(
    tmp_path,
):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # the threads are the program's own
stop = threading.Event()

def trace(n):
    while not stop.is_set():
        traced(f"thread {n}")
        time.sleep(0.001)
        if n == 0:
            nanospan.flush()

threads = [threading.Thread(target=trace, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
context = multiprocessing.get_context("fork")
for _ in range(10):
    workers = [context.Process(target=traced, args=("worker",)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
        assert worker.exitcode == 0
stop.set()
for thread in threads:
    thread.join()
finished = nanospan.stats()["finished"]
assert nanospan.flush(timeout=20)
assert nanospan.stats()["sent"] + sum(nanospan.stats()["dropped"].values()) == finished
""",
    )
    assert _names(spans).count("worker") == 30
    assert len({(span["trace_id"], span["span_id"]) for span in spans}) == len(spans)


@pytest.mark.parametrize("ending", ["sys.exit()", "assert nanospan.flush(); os._exit(0)"])
def test_a_fork_that_python_knows_nothing_of_is_noticed(tmp_path, ending):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + f"""
import ctypes
fork = ctypes.CDLL(None).fork

with tracing.start_as_current_span("request") as request:
    traced("before")
    nanospan.stats()
    pid = fork()
    if not pid:
        assert not request.is_recording()
        traced("child")
        request.finish()
        tracing.set_active_span(None)
        traced("root of the child")
        {ending}
    assert os.waitpid(pid, 0)[1] == 0
    traced("after")
""",
    )
    by_name = {span["name"]: span for span in spans}
    assert _names(spans) == sorted(["request", "before", "child", "root of the child", "after"])
    assert by_name["child"]["parent_id"] == by_name["request"]["span_id"]
    assert by_name["root of the child"]["trace_id"] != by_name["request"]["trace_id"]


def test_a_child_of_a_retired_pipeline_closes_nothing_of_its_parents(tmp_path):
    spans = _spans(
        tmp_path,
        CONFIGURE
        + """
old = tracing.start_span("of the first pipeline")
nanospan.configure(exporter=FileExporter(sys.argv[1]), queue=queue)
if not (pid := os.fork()):
    del old
    traced("child")
    sys.exit()
assert os.waitpid(pid, 0)[1] == 0
old.finish()
""",
    )
    assert _names(spans) == ["child", "of the first pipeline"]
