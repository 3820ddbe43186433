"""The end of a pipeline, and of the program, while other threads still trace."""

import random
import sys
import threading
import time

import pytest

import nanospan
from nanospan import ROOT, QueueConfig, tracing
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


# Each runs Python code below a frame of ours, where the thread has to wait for the interpreter.
_BELOW = {
    "the text of a value": 'span.set_attribute("k", Slow())',
    "the text of an exception": "raise Slow",
    "a processor": "child.finish(); tracing.process_spans(lambda span: str(Slow()))",
}


@pytest.mark.parametrize("body", _BELOW.values(), ids=_BELOW)
def test_a_program_ends_well_while_its_daemon_threads_are_inside_of_ours(body):
    # Finalizing takes a while, so that the threads wake up in the middle of it.
    code = f"""
        import sys, threading, time, types
        import nanospan
        from nanospan import tracing

        class Slow(Exception):
            def __str__(self):
                time.sleep(0.015)
                return "slow"

        class SlowEnd:
            def __del__(self, sleep=time.sleep):
                sleep(0.1)

        sys.modules["late"] = types.ModuleType("late")
        sys.modules["late"].end = SlowEnd()

        def work():
            while True:
                try:
                    with tracing.start_as_current_span("x") as span:
                        child = tracing.start_span("child")
                        {body}
                except Slow:
                    pass

        nanospan.configure(exporter=nanospan.MemoryExporter())
        for _ in range(3):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.1)
    """
    for _ in range(3):
        completed = run_python(code)
        assert completed.returncode == 0, completed.stderr
