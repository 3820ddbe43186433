"""The end of a pipeline, and of the program, while other threads still trace."""

import random
import sys
import threading
import time

import pytest

import nanospan
from nanospan import ROOT, MemoryExporter, QueueConfig, tracing
from support.process import run_python
from support.recording import recording as new_recording


@pytest.fixture(autouse=True)
def eager_switching():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def _finish_spans(root):
    for number in range(150):
        with tracing.start_as_current_span("own root", parent=ROOT):
            tracing.start_span("child").finish()
        tracing.start_span("child of all", parent=root).finish()
        if number % 50 == 0:
            nanospan.flush()


@pytest.mark.parametrize("delay", [0.0, 0.001, 3600.0])
def test_of_spans_that_race_with_the_shutdown_each_is_sent_or_counted_as_dropped(delay):
    for _ in range(20):
        with new_recording(queue=QueueConfig(max_coalescing_delay=delay)) as recorded:
            root = tracing.start_span("root")
            threads = [threading.Thread(target=_finish_spans, args=(root,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(random.random() * 0.02)
            assert nanospan.shutdown(10)
            for thread in threads:
                thread.join()
            stats = nanospan.stats()
            arrived = [span.span_id for span in recorded.spans()]
        assert len(arrived) == len(set(arrived)) == stats["sent"]
        assert stats["sent"] + sum(stats["dropped"].values()) == stats["finished"]
        assert (stats["queued_spans"], stats["queued_bytes"]) == (0, 0)


def test_a_shutdown_in_which_everything_was_sent_says_so():
    for _ in range(2_000):
        nanospan.configure(exporter=MemoryExporter())
        tracing.start_span("x").finish()
        assert nanospan.shutdown(10)


# Each makes Python code run below a frame of ours, where the thread waits for the interpreter.
_BELOW = {
    "the text of a value": 'span.set_attribute("k", Slow())',
    "the text of an exception": "raise Slow",
    "a processor": 'tracing.start_span("child").finish(); tracing.process_spans(lambda span: str(Slow()))',
}


@pytest.mark.parametrize("body", _BELOW.values(), ids=_BELOW)
def test_a_program_ends_well_while_its_daemon_threads_are_inside_of_ours(body):
    code = f"""
        import threading, time
        import nanospan
        from nanospan import tracing

        class Slow(Exception):
            def __str__(self):
                time.sleep(0.002)
                return "slow"

        def work():
            while True:
                try:
                    with tracing.start_as_current_span("x") as span:
                        {body}
                except Slow:
                    pass

        nanospan.configure(exporter=nanospan.MemoryExporter())
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)
    """
    completed = run_python(code)
    assert completed.returncode == 0, completed.stderr
