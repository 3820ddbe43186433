"""What a block makes of the function that it decorates.

The block is a template: each call takes a fresh one, so a function decorated before `configure` is
traced after it. The wrappers are of the same kind as the function, so that `inspect` and the
frameworks that ask it see what they saw before.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nanospan._core import _Template  # pyright: ignore[reportPrivateUsage]

_Function = Callable[..., Any]


def decorate(block: _Template, function: Any) -> Any:
    """Return `function` with a span of its own for each call.

    Raises `TypeError` for what is no function.
    """
    method: type[Any]
    for method in (classmethod, staticmethod):
        if isinstance(function, method):
            return method(decorate(block, function.__func__))
    if not callable(function) or isinstance(function, type):
        raise TypeError(
            f"function must be a function or a method, got {function!r} ({type(function).__name__})"
        )
    wrapper = functools.wraps(function)(_wrapper_for(function)(block, function))
    if _is_awaitable_generator(function):
        return types.coroutine(wrapper)
    return wrapper


def _is_awaitable_generator(function: _Function) -> bool:
    """Tell whether `types.coroutine` made of the function's generators what can be awaited."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _wrapper_for(function: _Function) -> Callable[[_Template, _Function], _Function]:
    if inspect.iscoroutinefunction(function):
        return _coroutine
    if inspect.isasyncgenfunction(function):
        return _async_generator
    if inspect.isgeneratorfunction(function):
        return _generator
    return _plain


def _plain(template: _Template, function: _Function) -> _Function:
    def call(*args: Any, **kwargs: Any) -> Any:
        with template._block():
            return function(*args, **kwargs)

    return call


def _coroutine(template: _Template, function: _Function) -> _Function:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with template._block():
            return await function(*args, **kwargs)

    return call


def _generator(template: _Template, function: _Function) -> _Function:
    def call(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with _Steps(template) as step:
            body = function(*args, **kwargs)
            resume: Callable[[], Any] = functools.partial(next, body)
            while True:
                try:
                    with step:
                        item = resume()
                except StopIteration as stop:
                    return stop.value
                try:
                    sent = yield item
                except GeneratorExit:
                    with step:
                        body.close()
                    raise
                except BaseException as error:
                    resume = functools.partial(body.throw, error)
                else:
                    resume = functools.partial(body.send, sent)

    return call


def _async_generator(template: _Template, function: _Function) -> _Function:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with _Steps(template) as step:
            body = function(*args, **kwargs)
            resume: Callable[[], Any] = body.__anext__
            while True:
                try:
                    with step:
                        item = await resume()
                except StopAsyncIteration:
                    return
                try:
                    sent = yield item
                except GeneratorExit:
                    with step:
                        await body.aclose()
                    raise
                except BaseException as error:
                    resume = functools.partial(body.athrow, error)
                else:
                    resume = functools.partial(body.asend, sent)

    return call


class _Steps:
    """The span of a generator: as old as the generator, and active during each of its steps."""

    def __init__(self, template: _Template) -> None:
        self._block = template._fresh()

    def __enter__(self) -> _Step:
        self._block._start()
        return _Step(self._block)

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._block._finish(error)


class _Step:
    """One run of a generator's body, from where it was resumed to where it yields."""

    def __init__(self, block: _Template) -> None:
        self._block = block

    def __enter__(self) -> None:
        self._block._resume()

    def __exit__(self, *raised: object) -> None:
        self._block._suspend()
