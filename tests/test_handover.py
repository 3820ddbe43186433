"""A local trace waits for its root, but never for ever; each finished span arrives exactly once."""

import gc
import json
import logging
import time

import pytest

import nanospan
from nanospan import QueueConfig, ReleasedSpanError, tracing
from support.process import run_python
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def _wait_until(is_true, *, timeout=10):
    deadline = time.monotonic() + timeout
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@pytest.fixture
def hasty():
    """A recording whose worker takes what is older than 20 ms."""
    with new_recording(queue=QueueConfig(max_coalescing_delay=0.02)) as recorded:
        yield recorded


@pytest.fixture
def patient():
    """A recording whose worker takes nothing by itself."""
    with new_recording(queue=QueueConfig(max_coalescing_delay=3600)) as recorded:
        yield recorded


def test_a_trace_is_handed_over_when_its_root_finishes(patient):
    with tracing.start_as_current_span("root"):
        tracing.start_span("child").finish()
        assert patient.names() == []
    assert patient.names() == ["child", "root"]


def test_the_children_of_an_abandoned_root_go_on(patient, caplog):
    root = tracing.start_span("forgotten root")
    tracing.start_span("child", parent=root).finish()
    del root
    gc.collect()
    assert patient.names() == ["child"]
    assert nanospan.stats()["abandoned"] == 1
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("nanospan", logging.WARNING)
    assert "forgotten root" in record.getMessage()


def test_many_abandoned_spans_make_one_warning_and_are_all_counted(patient, caplog):
    for _ in range(100):
        tracing.start_span("forgotten")
    nanospan.flush()
    assert nanospan.stats()["abandoned"] == 100
    assert len(caplog.records) == 1


def test_the_children_of_a_released_root_go_on(patient):
    root = tracing.start_span("root")
    tracing.start_span("child", parent=root).finish()
    root.release()
    assert patient.names() == ["child"]
    assert (nanospan.stats()["discarded"], nanospan.stats()["abandoned"]) == (1, 0)


def test_a_root_that_stays_open_holds_its_children_no_longer_than_the_delay(hasty):
    with tracing.start_as_current_span("whole program"):
        for number in range(3):
            child = tracing.start_span(f"child {number}")
            child.finish()
            _wait_until(lambda number=number: len(hasty.spans()) == number + 1)
            with pytest.raises(ReleasedSpanError):
                child.attributes  # noqa: B018
        assert tracing.spans() == ()
    nanospan.flush()
    assert hasty.names() == ["child 0", "child 1", "child 2", "whole program"]


def test_a_huge_trace_goes_out_in_parts():
    with new_recording(queue=QueueConfig(max_entries=50_000)) as recorded:
        with tracing.start_as_current_span("root"):
            for number in range(20_000):
                tracing.start_span(f"{number}").finish()
            assert recorded.spans()
        names = recorded.names()
        assert nanospan.stats()["dropped"]["queue_full"] == 0
    assert names == sorted([*map(str, range(20_000)), "root"])


def test_a_trace_of_huge_spans_goes_out_in_parts():
    with new_recording(queue=QueueConfig(max_bytes=100 * 2**20)) as recorded:
        with tracing.start_as_current_span("root"):
            for number in range(200):
                tracing.start_span(f"{number}", attributes={"k": "x" * 100_000}).finish()
            assert recorded.spans()
        names = recorded.names()
    assert names == sorted([*map(str, range(200)), "root"])


def test_children_that_finish_after_their_root_arrive_too(patient):
    with tracing.start_as_current_span("root"):
        early, late = tracing.start_span("early"), tracing.start_span("late")
        early.finish()
    assert patient.names() == ["early", "root"]
    grandchild = tracing.start_span("grandchild of late", parent=late)
    late.set_attribute("k", 1)
    late.finish()
    grandchild.finish()
    nanospan.flush()
    assert patient.names() == ["early", "grandchild of late", "late", "root"]
    assert patient.one("late").attributes == {"k": 1}


def test_late_children_arrive_without_a_flush(hasty):
    with tracing.start_as_current_span("root"):
        late = tracing.start_span("late")
    late.finish()
    _wait_until(lambda: hasty.names() == ["late", "root"])


def test_a_flush_inside_a_request_sends_what_is_finished(patient):
    with tracing.start_as_current_span("root"):
        child, still_open = tracing.start_span("child"), tracing.start_span("open")
        child.finish()
        assert nanospan.flush()
        assert patient.names() == ["child"]
        with pytest.raises(ReleasedSpanError):
            child.attributes  # noqa: B018
        still_open.set_attribute("k", 1)
        assert still_open.attributes == {"k": 1}
        still_open.finish()
    assert patient.names() == ["child", "open", "root"]


def test_a_shutdown_inside_a_request_sends_what_is_finished_and_counts_the_rest(caplog):
    with new_recording() as recorded:
        root = tracing.start_span("root")
        tracing.start_span("child", parent=root).finish()
        assert nanospan.shutdown()
        root.set_attribute("late", 1)
        root.finish()
        assert recorded.names() == ["child"]
        assert nanospan.stats()["abandoned"] == 1


_REQUEST = """
    import sys
    import nanospan
    from nanospan import FileExporter, tracing

    nanospan.configure(exporter=FileExporter(sys.argv[1]))
    {body}
"""


def _file_names(path):
    return sorted(
        span["name"]
        for line in path.read_text().splitlines()
        for resource_spans in json.loads(line)["resourceSpans"]
        for scope_spans in resource_spans["scopeSpans"]
        for span in scope_spans["spans"]
    )


def _run_request(path, body):
    return run_python(_REQUEST.format(body=body.strip()), path)


def test_an_exit_after_the_last_request_loses_nothing_and_says_nothing(tmp_path):
    completed = _run_request(
        tmp_path / "traces",
        """
    for _ in range(1000):
        with tracing.start_as_current_span("root"):
            tracing.start_span("child").finish()
    """,
    )
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, "", "")
    assert _file_names(tmp_path / "traces") == ["child"] * 1000 + ["root"] * 1000


def test_an_exit_inside_a_block_finishes_it(tmp_path):
    completed = _run_request(
        tmp_path / "traces",
        """
    with tracing.start_as_current_span("root"):
        tracing.start_span("child").finish()
        sys.exit(3)
    """,
    )
    assert (completed.returncode, completed.stderr) == (3, "")
    assert _file_names(tmp_path / "traces") == ["child", "root"]


def test_an_exit_with_an_open_root_sends_its_finished_children(tmp_path):
    completed = _run_request(
        tmp_path / "traces",
        """
    root = tracing.start_span("open root")
    tracing.start_span("child", parent=root).finish()
    """,
    )
    assert completed.returncode == 0
    assert "Traceback" not in completed.stderr
    assert _file_names(tmp_path / "traces") == ["child"]


def test_an_exit_by_an_exception_sends_what_is_finished(tmp_path):
    completed = _run_request(
        tmp_path / "traces",
        """
    with tracing.start_as_current_span("root"):
        raise ValueError("boom")
    """,
    )
    assert (completed.returncode, _file_names(tmp_path / "traces")) == (1, ["root"])
    assert completed.stderr.rstrip().endswith("ValueError: boom")


def test_an_exit_while_threads_still_trace_does_no_harm(tmp_path):
    completed = _run_request(
        tmp_path / "traces",
        """
    import threading, time
    def work():
        while True:
            with tracing.start_as_current_span("x"):
                time.sleep(0.001)
    for _ in range(4):
        threading.Thread(target=work, daemon=True).start()
    time.sleep(0.1)
    """,
    )
    assert completed.returncode == 0
    assert {line for line in completed.stderr.splitlines() if "never finished" not in line} == set()
    assert _file_names(tmp_path / "traces")


def test_what_does_not_fit_the_queue_is_dropped_as_whole_traces_and_counted():
    queue = QueueConfig(max_entries=10, max_batch_size=10, max_coalescing_delay=3600)
    with new_recording(queue=queue) as recorded:
        for number in range(1_000):
            with tracing.start_as_current_span(f"root {number}"):
                tracing.start_span(f"child {number}").finish()
        read = recorded.spans()
        stats = nanospan.stats()
    assert len(read) + stats["dropped"]["queue_full"] == stats["finished"] == 2_000
    traces = [span.trace_id for span in read]
    assert all(traces.count(trace_id) == 2 for trace_id in traces)


def test_beyond_the_cap_of_live_spans_a_span_gets_no_record_and_is_counted():
    with new_recording(queue=QueueConfig(max_live_spans=10)) as recorded:
        spans = [tracing.start_span("x") for _ in range(15)]
        assert [span.is_recording() for span in spans] == [True] * 10 + [False] * 5
        for span in spans:
            span.finish()
        assert tracing.start_span("after").is_recording()
        assert recorded.names() == ["x"] * 10
        assert nanospan.stats()["dropped"]["live_limit"] == 5


def test_a_batch_that_the_queue_could_not_hold_is_sent_when_the_queue_is_full():
    with new_recording(queue=QueueConfig(max_entries=2, max_coalescing_delay=3600)):
        for _ in range(2):
            tracing.start_span("x").finish()
        _wait_until(lambda: nanospan.stats()["sent"] == 2)
