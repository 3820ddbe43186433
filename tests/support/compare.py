"""Spans that arrived somewhere beside those that were made, field by field."""

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeAlias

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

Fields: TypeAlias = dict[str, str]
"""All that a span says: the path of each field, and its value as JSON."""

_SHOWN = 20


def assert_same_spans(
    arrived: Iterable[ExportTraceServiceRequest], made: Iterable[ExportTraceServiceRequest]
) -> None:
    """Each span that was made arrived once, the same in every field, its scope and its resource.

    The spans may come in another order, and be packed into requests in another way.
    """
    differences = list(islice(_differences(list(_spans(arrived)), list(_spans(made))), _SHOWN + 1))
    if len(differences) > _SHOWN:
        differences[_SHOWN] = "... and more"
    assert not differences, "\n".join(["what arrived is not what was made", *differences])


def _differences(arrived: list[Fields], made: list[Fields]) -> Iterator[str]:
    arrived_by_id, made_by_id = _by_id(arrived), _by_id(made)
    for how, spans, by_id in (("arrived", arrived, arrived_by_id), ("made", made, made_by_id)):
        if len(spans) > len(by_id):
            yield f"{len(spans)} spans {how}, but only {len(by_id)} different ones"
    for span_id in made_by_id.keys() - arrived_by_id.keys():
        yield f"{made_by_id[span_id]['name']} {span_id}: made, but did not arrive"
    for span_id in arrived_by_id.keys() - made_by_id.keys():
        yield f"{arrived_by_id[span_id]['name']} {span_id}: arrived, but was not made"
    for span_id in made_by_id.keys() & arrived_by_id.keys():
        one, other = made_by_id[span_id], arrived_by_id[span_id]
        for path in sorted(one.keys() | other.keys()):
            if one.get(path) != other.get(path):
                was = f"made {one.get(path)}, arrived {other.get(path)}"
                yield f"{one['name']} {span_id} {path}: {was}"


def _by_id(spans: list[Fields]) -> dict[str, Fields]:
    return {f"{span['trace_id']}/{span['span_id']}": span for span in spans}


def _spans(requests: Iterable[ExportTraceServiceRequest]) -> Iterator[Fields]:
    for request in requests:
        for resource_spans in request.resource_spans:
            around = _fields("resource", resource_spans.resource)
            around["resource.schema_url"] = json.dumps(resource_spans.schema_url)
            for scope_spans in resource_spans.scope_spans:
                within = around | _fields("scope", scope_spans.scope)
                within["scope.schema_url"] = json.dumps(scope_spans.schema_url)
                for span in scope_spans.spans:
                    ids = {"trace_id": span.trace_id.hex(), "span_id": span.span_id.hex()}
                    # A status that is not there says as much as an empty one.
                    unset = _fields("status", Status())
                    yield within | unset | _fields("", span) | ids


def _fields(path: str, message: Any) -> Fields:
    """Those that hold their default too, so that what is never set still compares."""
    as_dict = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return dict(_leaves(path, as_dict))


def _leaves(path: str, value: object) -> Iterator[tuple[str, str]]:
    """In JSON's spelling NaN is equal to itself, while 0.0 and -0.0 or 1 and 1.0 differ."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(f"{path}.{key}" if path else key, item)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(f"{path}[{index}]", item)
    else:
        yield path, json.dumps(value)
