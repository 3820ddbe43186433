"""Small immutable values that spans are described with."""

from collections import namedtuple

Event = namedtuple("Event", ("name", "time_ns", "attributes"))
Event.__doc__ = "Something that happened at one moment of a span."


class Link(namedtuple("Link", ("context", "attributes"))):
    """A span that has to do with this one without being its parent."""

    __slots__ = ()

    def __new__(cls, context, attributes=None):
        return super().__new__(cls, context, {} if attributes is None else attributes)


InstrumentationScope = namedtuple("InstrumentationScope", ("name", "version"))
InstrumentationScope.__doc__ = "The name and version of the tracer that made a span."
