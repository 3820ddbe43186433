"""The ways out: file, console, memory, and several at once."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nanospan
from nanospan import FileExporter, MemoryExporter, StatusCode, tracing
from nanospan.testing.strategies import finished_spans
from support.plain import google_spans, json_spans
from support.process import checked_python, run_python

pytest_plugins = ("support.plugin",)


def _by_id(spans):
    return {span["span_id"]: span for span in spans}


# Whole spans take long to make: a share of the profile's examples.
@settings(max_examples=max(10, settings.default.max_examples // 5))
@given(all_facts=st.lists(finished_spans(), min_size=1, max_size=3))
def test_the_lines_of_a_file_say_what_the_bytes_say(tmp_path_factory, all_facts):
    path = tmp_path_factory.mktemp("traces") / "traces"
    memory = MemoryExporter()
    nanospan.configure(exporter=[FileExporter(path), memory])
    for facts in all_facts:
        facts.record(tracing)
    nanospan.shutdown(10)
    assert _by_id(json_spans(path.read_text())) == _by_id(google_spans(memory._otlp()))
    assert len(json_spans(path.read_text())) == len(all_facts)


def test_a_line_is_a_whole_export_as_the_collector_reads_it(tmp_path):
    nanospan.configure(exporter=FileExporter(tmp_path / "traces"), service_name="shop")
    span = tracing.start_span("x", start_time_ns=1, attributes={"big": 2**62, "data": b"\xff"})
    span.set_status(StatusCode.ERROR, "why")
    span.finish(2)
    nanospan.shutdown()
    (line,) = (tmp_path / "traces").read_text().splitlines()
    (resource_spans,) = json.loads(line)["resourceSpans"]
    (scope_spans,) = resource_spans["scopeSpans"]
    (read,) = scope_spans["spans"]
    assert (read["traceId"], read["spanId"]) == (span.trace_id_hex, span.span_id_hex)
    assert (read["startTimeUnixNano"], read["endTimeUnixNano"]) == ("1", "2")
    assert read["attributes"] == [
        {"key": "big", "value": {"intValue": str(2**62)}},
        {"key": "data", "value": {"bytesValue": "/w=="}},
    ]
    assert (read["kind"], read["status"]) == (1, {"code": 2, "message": "why"})


def test_an_existing_file_is_appended_to(tmp_path):
    path = tmp_path / "traces"
    path.write_text("earlier\n")
    nanospan.configure(exporter=FileExporter(path))
    tracing.start_span("x").finish()
    nanospan.shutdown()
    earlier, line = path.read_text().splitlines()
    assert (earlier, len(json_spans(line))) == ("earlier", 1)


@pytest.mark.parametrize("kind", [str, os.fsencode, Path])
def test_a_path_may_be_text_bytes_or_a_path(tmp_path, kind):
    nanospan.configure(exporter=FileExporter(kind(str(tmp_path / "träces"))))
    tracing.start_span("x").finish()
    nanospan.shutdown()
    assert len(json_spans((tmp_path / "träces").read_text())) == 1


@pytest.mark.parametrize("path", ["missing/traces", "."])
def test_a_file_that_cannot_be_written_raises_at_configure(recording, tmp_path, path):
    exporter = FileExporter(tmp_path / path)
    with pytest.raises(OSError, match=str(tmp_path)) as raised:
        nanospan.configure(exporter=exporter)
    assert type(raised.value) in (FileNotFoundError, IsADirectoryError)
    tracing.start_span("the old pipeline goes on").finish()
    assert recording.names() == ["the old pipeline goes on"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk needs /dev/full")
def test_a_full_disk_is_counted_and_said_once_and_the_program_goes_on(caplog):
    memory = MemoryExporter()
    nanospan.configure(exporter=[FileExporter("/dev/full"), memory])
    for _ in range(5):
        with tracing.start_as_current_span("x"):
            tracing.start_span("child").finish()
        nanospan.flush()
    stats = nanospan.stats()
    assert (stats["finished"], stats["sent"], stats["dropped"]["export_failed"]) == (10, 0, 10)
    assert "No space left" in stats["last_error"]
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("nanospan", "WARNING")
    assert "/dev/full" in record.getMessage()
    assert len(memory.spans()) == 10


def test_every_exporter_gets_every_span(tmp_path):
    memories = [MemoryExporter(), MemoryExporter()]
    nanospan.configure(exporter=[*memories, FileExporter(tmp_path / "traces")])
    for _ in range(10):
        tracing.start_span("x").finish()
    assert nanospan.flush()
    written = json_spans((tmp_path / "traces").read_text())
    assert [len(memory.spans()) for memory in memories] == [10, 10]
    assert len(written) == nanospan.stats()["sent"] == 10


def test_a_cleared_memory_begins_anew(recording):
    tracing.start_span("before").finish()
    assert recording.names() == ["before"]
    recording.exporter.clear()
    tracing.start_span("after").finish()
    assert recording.names() == ["after"]


def test_a_memory_never_configured_is_empty():
    assert MemoryExporter().spans() == ()


_CONSOLE = """
    import nanospan
    from nanospan import ConsoleExporter, StatusCode, tracing

    nanospan.configure(exporter=ConsoleExporter())
    with tracing.start_as_current_span("GET /cart") as span:
        with tracing.start_as_current_span("SELECT"):
            pass
        span.set_status(StatusCode.ERROR, "no cart")
    nanospan.shutdown()
"""


def test_the_console_exporter_draws_whole_traces_on_stderr():
    completed = run_python(_CONSOLE)
    assert (completed.returncode, completed.stdout) == (0, "")
    lines = completed.stderr.splitlines()
    (root,) = [line for line in lines if "GET /cart" in line]
    (child,) = [line for line in lines if "SELECT" in line]
    assert lines.index(root) < lines.index(child)
    assert "2 spans  1 error" in completed.stderr


@pytest.mark.parametrize(
    ("variables", "is_coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
    ids=str,
)
def test_the_console_exporter_uses_colours_on_a_terminal(variables, is_coloured):
    deciding = {"TERM", "NO_COLOR", "FORCE_COLOR"}
    environment = {key: value for key, value in os.environ.items() if key not in deciding}
    terminal, end = os.openpty()
    command = [sys.executable, "-c", dedent(_CONSOLE)]
    subprocess.run(command, stderr=end, env=environment | variables, timeout=60, check=True)
    shown = os.read(terminal, 65_536)
    os.close(terminal)
    os.close(end)
    assert b"GET /cart" in shown
    assert (b"\x1b[31m" in shown) is is_coloured


def test_the_console_exporter_survives_a_closed_stderr():
    code = """
        import os, nanospan
        from nanospan import ConsoleExporter, tracing

        nanospan.configure(exporter=ConsoleExporter())
        os.close(2)
        tracing.start_span("x").finish()
        nanospan.shutdown()
        print("went on")
    """
    assert run_python(code).stdout == "went on\n"


def test_nothing_but_the_console_exporter_prints(tmp_path):
    code = """
        import sys, nanospan
        from nanospan import FileExporter, MemoryExporter, tracing

        nanospan.configure(exporter=[FileExporter(sys.argv[1]), MemoryExporter()])
        for _ in range(100):
            with tracing.start_as_current_span("x"):
                pass
        nanospan.shutdown()
    """
    assert checked_python(code, tmp_path / "traces") == ""
