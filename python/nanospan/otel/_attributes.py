"""Attributes as the API's `BoundedAttributes` makes them, and a live view of a span's."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes

if TYPE_CHECKING:
    from nanospan.otel import Span


def clean(attributes: Any, max_length: int | None) -> tuple[dict[str, Any], int]:
    """Return the attributes that can be kept, and how many cannot."""
    bounded = BoundedAttributes(None, attributes, immutable=False, max_value_len=max_length)
    return dict(bounded), bounded.dropped


def clean_one(key: Any, value: Any, max_length: int | None) -> tuple[dict[str, Any], int]:
    """Do the same for one attribute."""
    bounded = BoundedAttributes(None, None, immutable=False, max_value_len=max_length)
    bounded[key] = value
    return dict(bounded), bounded.dropped


class LiveAttributes(MutableMapping[str, Any]):
    """The attributes of a span that has not ended: what is set here is set on the span."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __getitem__(self, key: str) -> Any:
        return self._span.attributes[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self._span.set_attribute(key, value)

    def __delitem__(self, key: str) -> None:
        if key not in self._span.attributes:
            raise KeyError(key)
        self._span._unset_attribute(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._span.attributes)

    def __len__(self) -> int:
        return len(self._span.attributes)

    def __repr__(self) -> str:
        return repr(dict(self))

    @property
    def dropped(self) -> int:
        """How many were left out."""
        return self._span.dropped_attributes

    def copy(self) -> dict[str, Any]:
        """Return them as they are now."""
        return dict(self)
