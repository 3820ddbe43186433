"""Nothing waits longer for a collector than was allowed, least of all the end of a program."""

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from textwrap import dedent

import pytest

import nanospan
from nanospan import OtlpExporter, QueueConfig, tracing
from support.process import run_python
from support.receiver import running_receiver
from support.reply import Accept, HangUp, Silence, Status

pytest_plugins = ("support.plugin",)


@contextmanager
def _port(backlog: int | None) -> Iterator[str]:
    """A port that nobody accepts from: with None it is closed, with 0 its queue is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        if backlog is not None:
            listener.listen(backlog)
        if backlog == 0:
            stack.enter_context(socket.create_connection(listener.getsockname()))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def _replying(*replies) -> Iterator[str]:
    with running_receiver() as receiver:
        receiver.reply(*replies * 100)
        yield receiver.endpoint


DEAD_ENDS = {
    "refuses connections": lambda: _port(None),
    "drops packets": lambda: _port(0),
    "accepts and says nothing": lambda: _port(100),
    "reads and says nothing": lambda: _replying(Silence()),
    "answers a byte a second": lambda: _replying(Accept(spread=60)),
    "has no time": lambda: _replying(Status(503)),
    "has no time for half a minute": lambda: _replying(Status(503, retry_after="30")),
    "hangs up": lambda: _replying(HangUp(after_reading=False)),
}


@pytest.fixture(params=DEAD_ENDS.values(), ids=DEAD_ENDS)
def dead_end(request):
    """The endpoint of a collector that takes nothing."""
    with request.param() as endpoint:
        yield endpoint


def _configure(endpoint, queue=None):
    nanospan.configure(service_name="shop", exporter=OtlpExporter(endpoint), queue=queue)


def _accounted_for(stats):
    return stats["sent"] + stats["queued_spans"] + sum(stats["dropped"].values())


# The end of a program


_PROGRAM = """
    import sys, time
    import nanospan
    from nanospan import OtlpExporter, QueueConfig, tracing

    nanospan.configure(
        service_name="shop",
        exporter=OtlpExporter(sys.argv[1]),
        queue=QueueConfig(max_batch_size=10),
    )
    for _ in range(100):
        with tracing.start_as_current_span("GET /cart"):
            tracing.start_span("SELECT").finish()
    time.sleep({pause})
    print(time.monotonic())
"""


def _run(code: str, dead_end: str) -> tuple[int, str, bool]:
    """How the program ended, what it said, and whether its end was in time."""
    with DEAD_ENDS[dead_end]() as endpoint:
        completed = run_python(code, endpoint)
        took = time.monotonic() - float(completed.stdout)
        # What the interpreter itself takes to end is in it.
        return completed.returncode, completed.stderr, took < 2.7


@pytest.mark.parametrize("pause", [0, 0.3])
def test_a_program_ends_in_two_seconds_and_says_nothing(pause):
    code = _PROGRAM.format(pause=pause)
    with ThreadPoolExecutor(len(DEAD_ENDS)) as side_by_side:
        ends = side_by_side.map(partial(_run, code), DEAD_ENDS)
        assert dict(zip(DEAD_ENDS, ends, strict=True)) == dict.fromkeys(DEAD_ENDS, (0, "", True))


def test_a_program_without_a_collector_ends_at_once():
    with _port(None) as endpoint:
        completed = run_python(_PROGRAM.format(pause=0), endpoint)
    assert time.monotonic() - float(completed.stdout) < 0.5


def test_a_program_that_logs_hears_at_its_end_what_was_lost():
    code = "import logging; logging.basicConfig()\n" + dedent(_PROGRAM.format(pause=0))
    with _port(None) as endpoint:
        completed = run_python(code, endpoint)
    assert completed.returncode == 0
    assert completed.stderr.startswith("WARNING:nanospan:spans were not exported: OTLP http://")


@pytest.mark.parametrize("dead_end", ["refuses connections", "accepts and says nothing"])
def test_a_program_ends_while_its_threads_still_trace(dead_end):
    code = """
        import sys, threading, time
        import nanospan
        from nanospan import OtlpExporter, QueueConfig, tracing

        nanospan.configure(exporter=OtlpExporter(sys.argv[1]), queue=QueueConfig(max_batch_size=1))
        def work():
            while True:
                with tracing.start_as_current_span("x"):
                    time.sleep(0.001)
        for _ in range(4):
            threading.Thread(target=work, daemon=True).start()
        time.sleep(0.2)
        print(time.monotonic())
    """
    assert _run(code, dead_end) == (0, "", True)


def test_a_program_ends_in_time_also_with_a_pipeline_that_was_replaced():
    code = """
        import sys, time
        import nanospan
        from nanospan import OtlpExporter, tracing

        nanospan.configure(exporter=OtlpExporter(sys.argv[1]))
        left_open = tracing.start_span("of the first pipeline")
        tracing.start_span("x").finish()
        begun = time.monotonic()
        nanospan.configure(exporter=OtlpExporter(sys.argv[1]))
        assert time.monotonic() - begun < 2.2
        tracing.start_span("x").finish()
        print(time.monotonic())
    """
    assert _run(code, "accepts and says nothing") == (0, "", True)


# Signals


_SERVICE = """
    import signal, sys, time
    import nanospan
    from nanospan import OtlpExporter, tracing

    before = [signal.getsignal(number) for number in signal.valid_signals()]
    nanospan.configure(service_name="shop", exporter=OtlpExporter(sys.argv[1]))
    tracing.start_span("before").finish()
    nanospan.flush()
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before

    def end(number, frame):
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    with tracing.start_as_current_span("request"):
        tracing.start_span("SELECT").finish()
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)
"""


def test_a_signal_whose_handler_ends_the_program_loses_nothing(receiver):
    completed = run_python(_SERVICE, receiver.endpoint, timeout=10)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert sorted(s["name"] for s in receiver.spans()) == ["SELECT", "before", "request"]


# Calls


def test_a_shutdown_is_over_in_time_and_counts_what_it_gave_up(dead_end):
    _configure(dead_end, QueueConfig(max_batch_size=10, max_coalescing_delay=3600))
    for _ in range(100):
        tracing.start_span("x").finish()
    begun = time.monotonic()
    assert not nanospan.shutdown(0.3)
    assert time.monotonic() - begun < 0.5
    stats = nanospan.stats()
    assert (stats["worker"], stats["sent"], stats["queued_spans"]) == ("stopped", 0, 0)
    assert _accounted_for(stats) == stats["finished"] == 100
    assert set(stats["dropped"]) >= {"export_failed", "shutdown"}
    assert stats["dropped"]["export_failed"] >= 10


def test_a_flush_is_over_in_time_and_gives_nothing_up(dead_end):
    _configure(dead_end)
    for _ in range(100):
        tracing.start_span("x").finish()
    for timeout in (0, 0.2):
        begun = time.monotonic()
        assert not nanospan.flush(timeout)
        assert timeout <= time.monotonic() - begun < timeout + 0.2
    assert nanospan.stats()["queued_spans"] == 100
    nanospan.shutdown(0)


def test_a_shutdown_without_time_waits_for_nobody(dead_end):
    _configure(dead_end)
    tracing.start_span("x").finish()
    begun = time.monotonic()
    assert not nanospan.shutdown(0)
    assert time.monotonic() - begun < 0.2


def test_tracing_goes_on_at_its_pace(dead_end):
    _configure(dead_end, QueueConfig(max_batch_size=1, max_entries=100))
    longest = 0.0
    end = time.monotonic() + 0.5
    while (now := time.monotonic()) < end:
        with tracing.start_as_current_span("x"):
            pass
        longest = max(longest, time.monotonic() - now)
    assert longest < 0.1  # a tenth of the shortest wait for a collector; the machine is shared
    stats = nanospan.stats()
    assert _accounted_for(stats) == stats["finished"]
    nanospan.shutdown(0)


def test_a_flush_tries_again_at_once_however_long_the_worker_would_have_waited(receiver):
    receiver.reply(*[Status(503)] * 6)
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    for _ in range(6):
        assert not nanospan.flush(0.05)  # after each failure the worker would wait twice as long
    begun = time.monotonic()
    assert nanospan.flush()
    assert time.monotonic() - begun < 0.5


def test_a_shutdown_tries_again_at_once_too(receiver):
    receiver.reply(*[Status(503)] * 4)
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    for _ in range(4):
        assert not nanospan.flush(0.05)
    begun = time.monotonic()
    assert nanospan.shutdown()
    assert time.monotonic() - begun < 0.5
    assert len(receiver.spans()) == 1


def test_a_shutdown_hangs_up_on_a_silent_collector(receiver):
    receiver.reply(Silence())
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    assert not nanospan.flush(0.1)
    begun = time.monotonic()
    assert not nanospan.shutdown(0.3)
    (request,) = receiver.requests
    give_up = time.monotonic() + 2
    while request.given_up is None:
        assert time.monotonic() < give_up
        time.sleep(0.01)
    assert 0.2 < request.given_up - begun < 0.6


def test_the_spans_of_a_flush_that_came_too_early_arrive_all_the_same(receiver):
    receiver.reply(Accept(after=0.3))
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    assert not nanospan.flush(0.1)
    assert nanospan.flush()
    assert (len(receiver.spans()), nanospan.stats()["sent"]) == (1, 1)


def test_a_flush_fails_also_by_a_batch_that_was_on_its_way_before(receiver):
    receiver.reply(Status(503), Status(400))
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    assert not nanospan.flush(0.05)
    assert not nanospan.flush()
    assert nanospan.flush()


# Event loops


def _timed(flushing):
    """What it gives, how long it took, and how long the loop stood still at most."""

    async def run():
        longest = 0.0
        begun = time.monotonic()
        task = asyncio.ensure_future(flushing)
        while not task.done():
            before = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - before)
        return task.result(), time.monotonic() - begun, longest

    return asyncio.run(run())


def test_a_flush_can_be_awaited_while_the_loop_goes_on(receiver):
    receiver.reply(Accept(after=0.3))
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    sent, took, longest = _timed(nanospan.flush_async())
    assert (sent, len(receiver.spans())) == (True, 1)
    assert 0.3 <= took < 1
    assert longest < 0.1


def test_an_awaited_flush_is_over_in_time(dead_end):
    _configure(dead_end)
    tracing.start_span("x").finish()
    sent, took, longest = _timed(nanospan.flush_async(0.2))
    assert sent is False
    assert 0.2 <= took < 0.5
    assert longest < 0.1
    nanospan.shutdown(0)


def test_a_cancelled_flush_leaves_the_spans_to_be_sent(receiver):
    async def cancel():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(nanospan.flush_async(), 0.05)

    receiver.reply(Accept(after=0.2))
    _configure(receiver.endpoint)
    tracing.start_span("x").finish()
    asyncio.run(cancel())
    assert len(receiver.wait_for(1)) == 1


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), ("2", TypeError)])
def test_an_awaited_flush_checks_its_timeout(timeout, error):
    with pytest.raises(error, match="timeout"):
        asyncio.run(nanospan.flush_async(timeout))


@pytest.mark.usefixtures("unconfigured")
def test_an_awaited_flush_without_a_pipeline_has_nothing_to_wait_for():
    assert asyncio.run(nanospan.flush_async()) is True
