"""`flush` for event loops."""

from nanospan import _core


async def flush_async(timeout: float = 2.0) -> bool:
    """Do what `flush` does, while the event loop goes on.

    For asyncio. Cancelled, it leaves the spans to be sent all the same.
    """
    from asyncio import sleep

    flushing = _core.Flush(timeout)
    pause = 0.001
    while (sent := flushing.poll()) is None:
        await sleep(pause)
        pause = min(2 * pause, 0.05)
    return sent
