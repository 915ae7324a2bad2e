"""Work of milliseconds and more, beside the event loop as long as there are threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def beside_streams(function: Callable[..., _T], *arguments: object) -> _T:
    """What a function returns, which is called on a thread, or here where none can be started.

    ``function`` may be called twice where it raises ``RuntimeError`` itself.
    """
    try:
        return await asyncio.to_thread(function, *arguments)
    except RuntimeError:
        # Better that streams wait once than that no model comes back, or a prompt is refused.
        return function(*arguments)
