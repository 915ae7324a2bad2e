"""Sizes of models, for people, and what their options may say of them."""

from __future__ import annotations

from quorate.errors import SettingsError


def check_cells(context_length: int, cells: int, where: str) -> None:
    """Refuses a KV cache that could not hold one session of the length that was asked for.

    Raises:
        SettingsError: ``cells`` are given and fewer than ``context_length``.
    """
    if 0 < cells < context_length:
        raise SettingsError(
            f"{where}.cells: {cells} cannot hold one session of context_length {context_length}; "
            "set cells to at least that, or leave them out"
        )


def size_label(parameters: int) -> str:
    """How many there are, such as ``135M``."""
    for unit, scale in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= scale:
            return f"{parameters / scale:.3g}{unit}"
    return str(parameters)
