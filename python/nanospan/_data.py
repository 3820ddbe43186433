"""Small immutable values that spans are described with."""

from collections import namedtuple
from types import MappingProxyType

Event = namedtuple("Event", ("name", "time_ns", "attributes"))
Event.__doc__ = "Something that happened at one moment of a span."

Link = namedtuple("Link", ("context", "attributes"), defaults=(MappingProxyType({}),))
Link.__doc__ = "A span that has to do with this one without being its parent."


def _picklable(link):
    """Give the fields, a mapping proxy as a dict: a proxy, the default, cannot be pickled."""
    context, attributes = link
    is_proxy = isinstance(attributes, MappingProxyType)
    return context, dict(attributes) if is_proxy else attributes


Link.__getnewargs__ = _picklable

InstrumentationScope = namedtuple("InstrumentationScope", ("name", "version"))
InstrumentationScope.__doc__ = "The name and version of the tracer that made a span."
