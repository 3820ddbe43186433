"""What leaves: whole spans, read back by Google's protobuf."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nanospan
from nanospan import ROOT, SpanContext, SpanKind, StatusCode, _core, tracing
from nanospan.testing.strategies import expected_attributes, expected_text, finished_spans
from support.plain import exact, google_requests, plain_span
from support.recording import fresh_name
from support.recording import recording as new_recording

pytest_plugins = ("support.plugin",)


def _as_expected(facts, ids, resource):
    """The whole span that `facts` describe, as another protobuf should read it."""
    trace_id, span_id = ids
    parent = facts.parent
    description = facts.status_description if facts.status == StatusCode.ERROR else None
    return {
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_id": parent.span_id_hex if parent else None,
        "trace_state": parent.trace_state if parent else "",
        "name": expected_text(facts.name),
        "kind": int(facts.kind),
        "start_time_ns": facts.start_time_ns,
        "end_time_ns": facts.end_time_ns,
        "attributes": exact(expected_attributes(facts.attributes)),
        "dropped_attributes_count": 0,
        "events": [
            (expected_text(e.name), e.time_ns, exact(expected_attributes(e.attributes)))
            for e in facts.events
        ],
        "dropped_events_count": 0,
        "links": [
            (
                link.context.trace_id_hex,
                link.context.span_id_hex,
                link.context.trace_state,
                exact(expected_attributes(link.attributes or {})),
            )
            for link in facts.links
        ],
        "dropped_links_count": 0,
        "status": int(facts.status),
        "status_description": None if description is None else expected_text(description),
        "instrumentation_scope": ("nanospan", None),
        "resource": exact(resource),
    }


# Whole spans take long to make: a share of the profile's examples.
_SHARE = settings(max_examples=max(10, settings.default.max_examples // 5))


@_SHARE
@given(finished_spans())
def test_another_protobuf_reads_back_the_whole_span(facts):
    with new_recording(service_name="shop") as recorded:
        handle = facts.record(tracing)
        (read,) = recorded.spans()
        expected = _as_expected(facts, (handle.trace_id_hex, handle.span_id_hex), read.resource)
        assert plain_span(read) == expected
        assert recorded.google() == [expected]


@_SHARE
@given(st.lists(finished_spans(), max_size=5))
def test_many_spans_are_read_back_alike_by_us_and_by_another_protobuf(all_facts):
    with new_recording() as recorded:
        with tracing.start_as_current_span("root"):
            for facts in all_facts:
                facts.record(tracing.new("own", version="1"))
        by_id = {span.span_id_hex: plain_span(span) for span in recorded.spans()}
        assert {span["span_id"]: span for span in recorded.google()} == by_id
        assert len(recorded.google()) == len(all_facts) + 1


def test_a_whole_tree_is_exported_as_it_was_written():
    ids = _core.ScriptedIds([b"\x11" * 16], [b"\x01" * 8, b"\x02" * 8])
    clock = _core.ManualClock(1_000)
    with new_recording(clock=clock, ids=ids, service_name="shop") as recorded:
        with tracing.start_as_current_span("GET /cart", kind=SpanKind.SERVER) as request:
            clock.tick(10)
            with tracing.start_as_current_span("SELECT", attributes={"db.system.name": "sqlite"}):
                clock.tick(5)
                tracing.active_span().add_event("cache.miss", {"key": "cart"})
            request.set_status(StatusCode.ERROR, "no cart")
        spans = {span["name"]: span for span in recorded.google()}
    root, query = spans["GET /cart"], spans["SELECT"]
    assert {key: value for key, value in query.items() if key not in ("resource", "links")} == {
        "trace_id": "11" * 16,
        "span_id": "02" * 8,
        "parent_id": "01" * 8,
        "trace_state": "",
        "name": "SELECT",
        "kind": 1,
        "start_time_ns": 1_010,
        "end_time_ns": 1_015,
        "attributes": exact({"db.system.name": "sqlite"}),
        "dropped_attributes_count": 0,
        "events": [("cache.miss", 1_015, exact({"key": "cart"}))],
        "dropped_events_count": 0,
        "dropped_links_count": 0,
        "status": 0,
        "status_description": None,
        "instrumentation_scope": ("nanospan", None),
    }
    assert (root["kind"], root["parent_id"], root["end_time_ns"]) == (2, None, 1_015)
    assert (root["status"], root["status_description"]) == (2, "no cart")


def _remote(sampled):
    return SpanContext(b"\x11" * 16, b"\x22" * 8, sampled=sampled)


@pytest.mark.parametrize(
    ("parent", "remote_bit"), [(ROOT, 0), (_remote(True), 0x200), (_remote(None), 0x200)]
)
def test_the_flags_say_sampled_and_whether_the_parent_is_remote(recording, parent, remote_bit):
    tracing.start_span("x", parent=parent).finish()
    (span,) = recording.proto_spans()
    assert span.flags & ~0x2 == 0x101 | remote_bit


def test_a_trace_id_we_made_is_marked_random(recording):
    tracing.start_span("x").finish()
    (span,) = recording.proto_spans()
    assert span.flags & 0x2


@pytest.mark.parametrize(("sampled", "bit"), [(True, 1), (False, 0), (None, 0)])
def test_a_links_flags_say_sampled_and_remote(recording, sampled, bit):
    span = tracing.start_span("x", links=[_remote(sampled)])
    span.add_link(span.context)
    span.finish()
    (read,) = recording.proto_spans()
    remote, local = read.links
    assert (remote.flags & ~0x2, local.flags & ~0x2) == (0x300 | bit, 0x101)


def test_the_spans_of_one_export_are_grouped_by_tracer(recording):
    tracers = [tracing.new(fresh_name("own"), version=version) for version in ("1", None)]
    with tracing.start_as_current_span("root"):
        for tracer in tracers * 3:
            tracer.start_span(tracer.name).finish()
    recording.spans()
    (request,) = google_requests(recording.exporter._otlp())
    (resource_spans,) = request.resource_spans
    groups = {
        (group.scope.name, group.scope.version): [span.name for span in group.spans]
        for group in resource_spans.scope_spans
    }
    assert len(groups) == len(resource_spans.scope_spans)
    assert groups == {
        ("nanospan", ""): ["root"],
        (tracers[0].name, "1"): [tracers[0].name] * 3,
        (tracers[1].name, ""): [tracers[1].name] * 3,
    }


def test_two_pipelines_never_mix_their_resources():
    resources = {}
    for name in ("first", "second"):
        with new_recording(service_name=name) as recorded:
            tracing.start_span("x").finish()
            resources[name] = recorded.one("x").resource["service.name"]
    assert resources == {"first": "first", "second": "second"}


def test_a_batch_is_no_larger_than_asked_for():
    with new_recording(queue=nanospan.QueueConfig(max_batch_size=10)) as recorded:
        for _ in range(100):
            tracing.start_span("x").finish()
        recorded.spans()
        requests = google_requests(recorded.exporter._otlp())
    sizes = [
        sum(len(group.spans) for part in request.resource_spans for group in part.scope_spans)
        for request in requests
    ]
    assert sum(sizes) == 100
    assert max(sizes) <= 10
