"""OpenTelemetry's current Context: `detach` that understands where it was attached."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

from contextvars import Token
from typing import Any

from opentelemetry import context as context_api
from opentelemetry.context.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext

from nanospan._core import _attach, _detach, _get_current, _read_by


class RuntimeContext(ContextVarsRuntimeContext):
    """The API's own runtime context, on the same context variable.

    `detach` in another context than that of `attach`, as it happens to generators that are closed
    by an event loop or the garbage collector, is no error: nothing changes there, and the context
    of `attach` is restored; while code runs in it, by the next call of `get_current` there.
    """

    def __init__(self, replaced: ContextVarsRuntimeContext) -> None:
        self._current_context = replaced._current_context
        _read_by(self, self._current_context.get, _get_current)  # sets `get_current`

    def attach(self, context: Context) -> Any:  # what passes for a Token[Context]
        """Set the current Context; the token is for `detach`."""
        return _attach(context)

    def detach(self, token: Token[Context]) -> None:
        """Restore what was current before `attach`."""
        _detach(token)


def install() -> None:
    """Put it in the place of the API's; one of another kind stays."""
    current = context_api._RUNTIME_CONTEXT
    if type(current) is ContextVarsRuntimeContext:
        context_api._RUNTIME_CONTEXT = RuntimeContext(current)
