"""The work that is measured: the same statements for everybody, in everybody's own words."""

from collections.abc import Callable
from dataclasses import dataclass, replace

# What a span of an instrumented request holds.
ATTRIBUTES = {
    "http.request.method": "GET",
    "url.path": "/v1/users/123",
    "url.scheme": "https",
    "server.address": "api.example.com",
    "server.port": 8443,
    "http.response.status_code": 200,
    "network.protocol.version": "1.1",
    "user_agent.original": "python-httpx/0.27",
}
EVENT = {"exception.type": "none", "n": 1}
THREE = {key: ATTRIBUTES[key] for key in list(ATTRIBUTES)[:2]} | {"http.response.status_code": 200}
DESCRIPTION = "upstream timeout"
DEPTH = 4


@dataclass(frozen=True)
class Words:
    """How a tracing library says it. `tracer`, ERROR, EVENT and RAISED are names the loop knows."""

    start: str = "{tracer}.start_span({name!r})"
    finish: str = "{span}.finish()"
    block: str = "{tracer}.start_as_current_span({name!r})"
    attribute: str = "{span}.set_attribute({key!r}, {value!r})"
    event: str = "{span}.add_event('cache.miss', EVENT)"
    error: str = f"{{span}}.set_status(ERROR, {DESCRIPTION!r})"
    record: str = "{span}.record_error(RAISED)"


@dataclass(frozen=True)
class Case:
    """`write` gives the statement; its time, less that of the case `less`, is shared by `per`.

    A `gathered` one runs in an event loop, and the spans below its first are siblings.
    """

    name: str
    title: str
    write: Callable[[Words], str]
    spans: int = 1
    less: str | None = None
    per: int = 1
    gathered: bool = False


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def _attributes(words: Words, attributes: dict[str, object], span: str) -> str:
    lines = (words.attribute.format(span=span, key=k, value=v) for k, v in attributes.items())
    return "\n".join(lines) + "\n"


def _start_and_finish(words: Words) -> str:
    span = words.start.format(tracer="tracer", name="GET /users")
    return words.finish.format(span=span)


def _between(content: Callable[[Words, str], str]) -> Callable[[Words], str]:
    def write(words: Words) -> str:
        start = words.start.format(tracer="tracer", name="GET /users")
        return f"span = {start}\n{content(words, 'span')}\n{words.finish.format(span='span')}"

    return write


def _block(
    content: Callable[[Words, str], str] = lambda words, span: "pass", tracer: str = "tracer"
) -> Callable[[Words], str]:
    def write(words: Words) -> str:
        block = words.block.format(tracer=tracer, name="GET /users")
        return f"with {block} as span:\n{_indented(content(words, 'span'))}"

    return write


def request(tracer: str = "tracer", work: str = "") -> Callable[[Words], str]:
    """Nested spans, each with eight attributes, an event and a status; and with `work` to do."""

    def write(words: Words, level: int = 0) -> str:
        span = f"span{level}"
        block = words.block.format(tracer=tracer, name=f"op{level}")
        body = work + _attributes(words, ATTRIBUTES, span)
        body += words.event.format(span=span) + "\n" + words.error.format(span=span) + "\n"
        if level + 1 < DEPTH:
            body += write(words, level + 1)
        return f"with {block} as {span}:\n{_indented(body)}"

    return write


def _filled(words: Words, span: str) -> str:
    """What each span of the request holds."""
    lines = [words.event.format(span=span), words.error.format(span=span)]
    return _attributes(words, ATTRIBUTES, span) + "\n".join(lines) + "\n"


def _gathered(traced: bool = True) -> Callable[[Words], str]:
    """The request with its inner spans in tasks of their own; or its tasks and nothing else."""

    def write(words: Words) -> str:
        def block(name: str, body: str) -> str:
            if not traced:
                return body
            start = words.block.format(tracer="tracer", name=name)
            return f"with {start} as span:\n{_indented(_filled(words, 'span') + body)}"

        names = [f"op{level}" for level in range(1, DEPTH)]
        tasks = [
            f"async def {name}():\n{_indented(block(name, 'await sleep(0)'))}" for name in names
        ]
        gather = f"await gather({', '.join(f'{name}()' for name in names)})"
        return "\n".join(tasks) + "\n" + block("op0", gather)

    return write


# An open span grows by each event, so their mean says more than the first.
_EVENTS = 4

OFF = [
    Case("off", "with, not configured", _block(), spans=0),
]
ON = [
    Case("start", "start + finish, root", _start_and_finish),
    Case(
        "attribute",
        "set_attribute, mean of 8",
        _between(lambda words, span: _attributes(words, ATTRIBUTES, span)),
        less="start",
        per=len(ATTRIBUTES),
    ),
    Case(
        "event",
        "add_event, 2 attributes",
        _between(lambda words, span: "\n".join([words.event.format(span=span)] * _EVENTS)),
        less="start",
        per=_EVENTS,
    ),
    Case(
        "error",
        "record_error, 10 frames",
        _between(lambda words, span: "\n".join([words.record.format(span=span)] * _EVENTS)),
        less="start",
        per=_EVENTS,
    ),
    Case("with", "with start_as_current_span", _block()),
    Case("with3", "with + 3 attributes", _block(lambda w, s: _attributes(w, THREE, s))),
    Case("request", "request of 4 full spans", request(), spans=DEPTH),
    Case("untraced-tasks", "asyncio.gather of 3 tasks", _gathered(False), spans=0, gathered=True),
    Case(
        "tasks",
        "  + a full span each, and around",
        _gathered(),
        spans=DEPTH,
        less="untraced-tasks",
        gathered=True,
    ),
]
NOT_SAMPLED = [
    Case("unsampled-with", "not sampled: with", _block(tracer="not_sampled"), spans=0),
    Case("unsampled-request", "not sampled: request", request("not_sampled"), spans=0),
]


def _through_otel(case: Case) -> Case:
    less = case.less and f"otel-{case.less}"
    title = case.title.replace("finish", "end").replace("record_error", "record_exception")
    return replace(case, name=f"otel-{case.name}", title=title, less=less)


OTEL = [_through_otel(case) for case in ON + NOT_SAMPLED]
# The same once more, each span told to a processor in Python that does nothing.
PROCESSED = [
    Case("otel-processed-with", "with a processor: with", _block(tracer="processed")),
    Case(
        "otel-processed-with3",
        "with a processor: with + 3",
        _block(lambda w, s: _attributes(w, THREE, s), tracer="processed"),
    ),
    Case("otel-processed-request", "with a processor: request", request("processed"), spans=DEPTH),
]
