"""Sizes of models, for people."""

from __future__ import annotations


def size_label(parameters: int) -> str:
    """How many there are, such as ``135M``."""
    for unit, scale in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if parameters >= scale:
            return f"{parameters / scale:.3g}{unit}"
    return str(parameters)
