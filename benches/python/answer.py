"""What must have arrived before a time counts, in a form that all contestants can be put in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from cases import ATTRIBUTES, DEPTH, DESCRIPTION, EVENT


@dataclass
class PlainSpan:
    """A span as it arrived."""

    name: str
    trace_id: object
    span_id: object
    parent_id: object
    start: int
    end: int
    attributes: dict[str, object] = field(default_factory=dict)
    events: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    failed: bool = False
    description: str | None = None


def check_request(spans: Iterable[PlainSpan], gathered: bool = False) -> None:
    """Raises AssertionError unless `spans` are one request, whole; `gathered`: below one root."""
    levels = sorted(spans, key=lambda span: span.name)
    assert [span.name for span in levels] == [f"op{level}" for level in range(DEPTH)], levels
    assert len({span.trace_id for span in levels}) == 1, "one trace"
    assert len({span.span_id for span in levels}) == DEPTH, "an id each"
    assert not levels[0].parent_id, "a root"
    below = [(levels[0], level) for level in levels[1:]] if gathered else pairwise(levels)
    for parent, child in below:
        assert child.parent_id == parent.span_id, (parent, child)
        assert parent.start <= child.start <= child.end <= parent.end, (parent, child)
    for span in levels:
        assert span.attributes == ATTRIBUTES, span.attributes
        assert span.events == [("cache.miss", EVENT)], span.events
        assert (span.failed, span.description) == (True, DESCRIPTION), span
