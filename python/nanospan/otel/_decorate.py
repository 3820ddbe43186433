"""Functions decorated with `start_as_current_span` of the OpenTelemetry face."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def decorate(template: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with a span for each call; a coroutine's span lasts until it is done."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def traced_coroutine(*args: Any, **kwargs: Any) -> Any:
            with template._block():
                return await function(*args, **kwargs)

        return traced_coroutine

    @functools.wraps(function)
    def traced(*args: Any, **kwargs: Any) -> Any:
        with template._block():
            return function(*args, **kwargs)

    return traced
