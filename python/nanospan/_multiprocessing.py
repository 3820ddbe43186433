"""Forked workers of `multiprocessing` end without `atexit`: here they send what they have.

Imported only where `multiprocessing` has been.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import threading
from multiprocessing import util
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_registered = False


def register(flush: Callable[[], None]) -> None:
    """Let the workers that this process forks, and itself if it is one, call `flush` at the end."""
    global _registered
    if _registered:
        return
    _registered = True
    # For good, as the hooks of `os` are. In a child, `multiprocessing` first forgets what its
    # parent would do at its end, and calls this then.
    util.register_after_fork(register, lambda _: _finalize(flush))
    if multiprocessing.parent_process() is not None:
        _finalize(flush)


def _finalize(flush: Callable[[], None]) -> None:
    # Priority 0: before the worker waits for workers of its own.
    util.Finalize(None, _at_exit, args=(flush,), exitpriority=0)


def _at_exit(flush: Callable[[], None]) -> None:
    flush()
    # The worker still waits for its threads, and what they trace must not be lost either. Where no
    # more threads can be started, it is.
    if _other_threads():
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=_flush_after_threads, args=(flush,)).start()


def _flush_after_threads(flush: Callable[[], None]) -> None:
    while threads := _other_threads():
        for thread in threads:
            thread.join()
    flush()


def _other_threads() -> list[threading.Thread]:
    """The threads that a process waits for, without the main thread and the current one."""
    known = {threading.main_thread(), threading.current_thread()}
    return [t for t in threading.enumerate() if not t.daemon and t not in known]
