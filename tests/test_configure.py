"""`configure`, `shutdown`, `flush` and `stats`: the life of a pipeline."""

import pytest

import nanospan
from nanospan import (
    AlwaysOn,
    FileExporter,
    MemoryExporter,
    QueueConfig,
    SpanLimits,
    tracing,
)
from support.process import checked_python
from support.recording import fresh_name
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def _names(exporter):
    return sorted(span.name for span in exporter.spans())


def test_a_second_configure_swaps_the_pipeline():
    first, second = MemoryExporter(), MemoryExporter()
    nanospan.configure(exporter=first)
    tracing.start_span("a").finish()
    nanospan.configure(exporter=second)
    tracing.start_span("b").finish()
    assert (_names(first), _names(second)) == (["a"], ["b"])


def test_a_span_finishes_into_the_pipeline_it_began_in():
    first, second = MemoryExporter(), MemoryExporter()
    nanospan.configure(exporter=first)
    old = tracing.start_span("old")
    tracing.start_span("child", parent=old).finish()
    nanospan.configure(exporter=second)
    old.finish()
    assert _names(first) == ["child", "old"]
    assert _names(second) == []


def test_an_old_pipelines_span_is_a_remote_parent_in_the_new_one():
    nanospan.configure(exporter=MemoryExporter())
    old = tracing.start_span("old")
    exporter = MemoryExporter()
    nanospan.configure(exporter=exporter)
    child = tracing.start_span("child", parent=old)
    assert (child.trace_id, child.parent_id) == (old.trace_id, old.span_id)
    child.finish()
    assert _names(exporter) == ["child"]


def test_after_shutdown_all_is_a_no_op_until_configure():
    with new_recording() as recorded:
        pass
    assert not tracing.start_span("nothing").is_recording()
    with new_recording() as again:
        tracing.start_span("something").finish()
        assert (recorded.names(), again.names()) == ([], ["something"])


def test_what_was_sent_before_shutdown_can_still_be_read_after_it():
    with new_recording() as recorded:
        tracing.start_span("x").finish()
    assert recorded.names() == ["x"]


def test_tracers_and_blocks_taken_before_configure_are_live_after_it():
    tracer = tracing.new(fresh_name("early"))
    block = tracer.start_as_current_span("block")
    with new_recording() as recorded:
        tracer.start_span("x").finish()
        with block:
            pass
        assert recorded.names() == ["block", "x"]


def test_the_global_tracer_is_one_object_for_ever():
    before = nanospan.tracing
    with new_recording():
        assert nanospan.tracing is before is tracing
    assert nanospan.tracing is before


def test_the_resource_names_the_service_and_the_sdk():
    options = {"service_name": "shop", "resource": {"host.name": "h1", "ports": [80, 443]}}
    with new_recording(**options) as recorded:
        tracing.start_span("x").finish()
        resource = recorded.one("x").resource
    version = resource.pop("telemetry.sdk.version")
    assert version.count(".") == 2
    assert resource == {
        "service.name": "shop",
        "telemetry.sdk.name": "nanospan",
        "telemetry.sdk.language": "python",
        "host.name": "h1",
        "ports": (80, 443),
    }


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({}, "unknown_service:python"),
        ({"resource": {"service.name": "from resource"}}, "from resource"),
        (
            {"service_name": "argument", "resource": {"service.name": "from resource"}},
            "argument",
        ),
    ],
)
def test_the_service_name_is_the_argument_or_the_resources(options, name):
    with new_recording(**options) as recorded:
        tracing.start_span("x").finish()
        assert recorded.one("x").resource["service.name"] == name


def test_without_any_exporter_spans_are_made_and_go_nowhere():
    nanospan.configure(exporter=[])
    with tracing.start_as_current_span("x") as span:
        assert span.is_recording()
        assert span.context.sampled
    assert nanospan.flush(timeout=10)
    assert nanospan.stats()["queued_spans"] == 0
    assert nanospan.shutdown(timeout=10)


_BAD = {
    "rate above one": ({"sampling_rate": 1.5}, ValueError, r"sampling_rate.*0 to 1.*1\.5"),
    "rate below nought": ({"sampling_rate": -0.1}, ValueError, r"sampling_rate.*0 to 1.*-0\.1"),
    "rate NaN": ({"sampling_rate": float("nan")}, ValueError, "sampling_rate.*0 to 1.*nan"),
    "rate text": ({"sampling_rate": "0.5"}, TypeError, "sampling_rate.*str"),
    "rate and sampler": (
        {"sampling_rate": 0.5, "sampler": AlwaysOn()},
        ValueError,
        "sampling_rate.*sampler|sampler.*sampling_rate",
    ),
    "sampler class": ({"sampler": AlwaysOn}, TypeError, "sampler.*type"),
    "sampler number": ({"sampler": 0.5}, TypeError, "sampler.*float"),
    "exporter class": ({"exporter": MemoryExporter}, TypeError, "exporter.*type"),
    "exporter text": ({"exporter": "console"}, TypeError, "exporter.*str"),
    "a bad exporter among good ones": (
        {"exporter": [MemoryExporter(), None]},
        TypeError,
        "exporter.*NoneType",
    ),
    "service name number": ({"service_name": 5}, TypeError, "service_name.*int"),
    "service name empty": ({"service_name": ""}, ValueError, "service_name"),
    "resource list": ({"resource": [("k", 1)]}, TypeError, "resource.*list"),
    "resource key": ({"resource": {"a": 1, 2: "b"}}, TypeError, "resource.*int"),
    "limits number": ({"limits": 128}, TypeError, "limits.*int"),
    "queue dict": ({"queue": {"max_entries": 5}}, TypeError, "queue.*dict"),
    "late sampling text": ({"late_sampling": "yes"}, TypeError, "late_sampling.*str"),
    "unknown option": ({"sampling": 0.5}, TypeError, "sampling"),
}


@pytest.mark.parametrize(("options", "error", "message"), _BAD.values(), ids=_BAD)
def test_a_bad_option_raises_and_the_old_pipeline_stays(recording, options, error, message):
    with pytest.raises(error, match=message):
        nanospan.configure(**{"exporter": MemoryExporter(), **options})
    tracing.start_span("x").finish()
    assert recording.names() == ["x"]


def test_options_are_keyword_only():
    with pytest.raises(TypeError):
        nanospan.configure("shop")


_BAD_QUEUES = {
    "max_batch_size": [0, -1, 10**6 + 1],
    "max_coalescing_delay": [-0.5, 3601, float("nan"), float("inf")],
    "max_entries": [0, -1, 10**6 + 1],
    "max_bytes": [0, -1],
    "max_live_spans": [0, -1],
}


@pytest.mark.parametrize(
    ("option", "value"),
    [(option, value) for option, values in _BAD_QUEUES.items() for value in values],
)
def test_a_queue_option_out_of_range_raises(option, value):
    with pytest.raises(ValueError, match=f"{option}.*{value}"):
        QueueConfig(**{option: value})


@pytest.mark.parametrize("value", ["5", True, None, 1.5], ids=repr)
@pytest.mark.parametrize("option", ["max_batch_size", "max_entries", "max_bytes"])
def test_a_queue_option_of_a_wrong_type_raises(option, value):
    with pytest.raises(TypeError, match=f"{option}.*{type(value).__name__}"):
        QueueConfig(**{option: value})


@pytest.mark.parametrize("option", ["attribute_count", "event_count", "attribute_per_link_count"])
@pytest.mark.parametrize("value", [-1, -(10**30)])
def test_a_limit_below_nought_raises(option, value):
    with pytest.raises(ValueError, match=option):
        SpanLimits(**{option: value})


@pytest.mark.parametrize("value", ["5", True, 1.5], ids=repr)
def test_a_limit_of_a_wrong_type_raises(value):
    with pytest.raises(TypeError, match=f"attribute_count.*{type(value).__name__}"):
        SpanLimits(attribute_count=value)


@pytest.mark.parametrize("call", [nanospan.flush, nanospan.shutdown])
@pytest.mark.parametrize(
    ("timeout", "error"),
    [(-1, ValueError), (float("nan"), ValueError), ("2", TypeError), (None, TypeError)],
)
def test_a_bad_timeout_raises(recording, call, timeout, error):
    with pytest.raises(error, match="timeout"):
        call(timeout)
    tracing.start_span("x").finish()
    assert recording.names() == ["x"]


@pytest.mark.usefixtures("unconfigured")
def test_without_a_pipeline_flush_and_shutdown_have_nothing_to_wait_for():
    assert nanospan.flush() is True
    assert nanospan.shutdown() is True


def test_flush_and_shutdown_say_that_all_is_sent(recording):
    tracing.start_span("x").finish()
    assert nanospan.flush() is True
    assert nanospan.stats()["sent"] == 1
    assert nanospan.shutdown() is True


_STATS = {
    *("started", "sampled", "recorded", "finished", "sent", "dropped", "abandoned", "discarded"),
    *("ignored_writes", "dropped_values", "left_blocks", "lost_detachments", "open_spans"),
    *("kept_traces", "over_budget"),
    *("queued_spans", "queued_bytes", "queue_high_water", "worker", "last_error"),
}
_REASONS = {
    *("queue_full", "unsampled", "late_undecided", "export_failed", "rejected", "shutdown"),
    "live_limit",
}


def test_stats_has_the_keys_of_its_type_in_every_state():
    unconfigured = nanospan.stats()
    with new_recording():
        configured = nanospan.stats()
    for stats in (unconfigured, configured, nanospan.stats()):
        assert set(stats) >= _STATS
        assert set(stats["dropped"]) >= _REASONS


def test_stats_count_what_happened(recording):
    with tracing.start_as_current_span("root"):
        tracing.start_span("child").finish()
        tracing.start_span("unsampled", should_sample=False).finish()
        tracing.start_span("unwanted").release()
    nanospan.flush()
    stats = nanospan.stats()
    assert (stats["started"], stats["recorded"], stats["finished"], stats["sent"]) == (4, 3, 2, 2)
    assert (stats["discarded"], stats["abandoned"], stats["ignored_writes"]) == (1, 0, 0)
    assert (stats["open_spans"], stats["queued_spans"], stats["queued_bytes"]) == (0, 0, 0)
    assert (stats["worker"], stats["last_error"]) == ("running", None)
    assert set(stats["dropped"].values()) == {0}


def test_no_thread_runs_before_the_first_span_finishes():
    code = """
        import os, time
        import nanospan
        from nanospan import MemoryExporter, tracing

        def threads():
            return len(os.listdir("/proc/self/task"))

        nanospan.configure(exporter=MemoryExporter())
        span = tracing.start_span("x")
        print(threads(), nanospan.stats()["worker"])
        span.finish()
        nanospan.flush()
        print(threads(), nanospan.stats()["worker"])
        nanospan.shutdown()
        deadline = time.monotonic() + 5
        while threads() > 1 and time.monotonic() < deadline:
            time.sleep(0.001)
        print(threads(), nanospan.stats()["worker"])
    """
    assert checked_python(code) == "1 not_started\n2 running\n1 stopped\n"


def test_importing_and_configuring_prints_nothing_and_starts_nothing(tmp_path):
    code = """
        import sys, nanospan
        nanospan.configure(exporter=nanospan.FileExporter(sys.argv[1]))
    """
    assert checked_python(code, tmp_path / "traces") == ""


def test_a_file_exporter_may_be_configured_again_with_the_same_path(tmp_path):
    path = tmp_path / "traces"
    for name in ("a", "b"):
        nanospan.configure(exporter=FileExporter(path))
        tracing.start_span(name).finish()
    nanospan.shutdown()
    text = path.read_text()
    assert '"a"' in text
    assert '"b"' in text


@pytest.mark.parametrize(
    "thing",
    [
        nanospan.AlwaysOn(),
        nanospan.AlwaysOff(),
        nanospan.TraceIdRatio(0.1),
        nanospan.TraceIdRatio(1e-9),
        nanospan.ParentBased(nanospan.ParentBased(nanospan.TraceIdRatio(1))),
        nanospan.QueueConfig(),
        nanospan.QueueConfig(max_batch_size=1, max_coalescing_delay=1e-9, max_live_spans=7),
        nanospan.SpanLimits(),
        nanospan.SpanLimits(attribute_value_length=0, attribute_per_link_count=3),
    ],
    ids=repr,
)
def test_a_setting_shows_the_call_that_makes_it(thing):
    assert eval(repr(thing), vars(nanospan)) == thing


@pytest.mark.parametrize(
    ("exporter", "shown"),
    [
        (nanospan.FileExporter("it's here.jsonl"), 'FileExporter("it\'s here.jsonl")'),
        (nanospan.FileExporter(b"\xff"), "FileExporter('\\udcff')"),
        (nanospan.ConsoleExporter(), "ConsoleExporter()"),
        (nanospan.MemoryExporter(), "MemoryExporter()"),
    ],
    ids=repr,
)
def test_an_exporter_shows_the_call_that_makes_it(exporter, shown):
    assert repr(exporter) == shown
