"""What a block makes of the function that it decorates.

The block is a template: each call takes a fresh one, so a function decorated before `configure` is
traced after it. The wrappers are of the same kind as the function, so that `inspect` and the
frameworks that ask it see what they saw before.

A generator is often consumed after the block in which it was called. So its span has the parent
that was active at the call, though it starts with the first step.
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
        hint = "; decorate its methods" if isinstance(function, type) else ""
        raise TypeError(
            "function must be a function or a method,"
            f" got {function!r} ({type(function).__name__}){hint}"
        )
    return functools.wraps(function)(_wrapper_for(function)(block, function))


def _wrapper_for(function: _Function) -> Callable[[_Template, _Function], _Function]:
    if inspect.iscoroutinefunction(function):
        return _coroutine
    if inspect.isasyncgenfunction(function):
        return functools.partial(_GeneratorFunction, _async_generator)
    if inspect.isgeneratorfunction(function):
        steps = types.coroutine(_generator) if _is_awaitable(function) else _generator
        return functools.partial(_GeneratorFunction, steps)
    return _plain


def _is_awaitable(function: _Function) -> bool:
    """Tell whether `types.coroutine` made of the function's generators what can be awaited."""
    code = getattr(function, "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


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


class _GeneratorFunction:
    """A generator function that does something when it is called.

    A function that has a `yield` cannot. `inspect` takes what has the attributes of a function for
    one, and asks its code what it makes.
    """

    __defaults__ = None
    __kwdefaults__ = None

    def __init__(self, steps: Any, template: _Template, function: _Function) -> None:
        self.__name__ = self.__qualname__ = steps.__name__
        self.__code__ = steps.__code__
        self._steps = steps
        self._template = template
        self._function = function

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        return self._steps(self._template._called(), self._function(*args, **kwargs))

    def __get__(self, instance: object, owner: object = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> str:
        return str(self.__qualname__)  # pickled by name, as functions are

    def __repr__(self) -> str:
        return f"<traced {self._function!r}>"


def _generator(block: _Template, body: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
    with _Steps(block) as step:
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


async def _async_generator(
    block: _Template, body: AsyncGenerator[Any, Any]
) -> AsyncGenerator[Any, Any]:
    with _Steps(block) as step:
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


class _Steps:
    """The span of a generator: from its first step to its end, active during each step."""

    def __init__(self, block: _Template) -> None:
        self._block = block

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
