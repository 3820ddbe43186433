"""The end of the program while daemon threads still trace."""

import pytest

from support.process import run_python

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
