"""Async iterators that hold something, closed as soon as their reader stops."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar, cast

_Item = TypeVar("_Item")


def closing(items: AsyncIterator[_Item]) -> aclosing[AsyncGenerator[_Item, None]]:
    """Closes an iterator of the dispatcher or the fleet at the end of a ``with`` block.

    They are async generators; left to the garbage collector, they would hold their slots for
    longer than the client is there.
    """
    return aclosing(cast("AsyncGenerator[_Item, None]", items))
