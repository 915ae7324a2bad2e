"""Callers who show no key where keys are wanted.

Without a key callers on this machine are told apart by their connections, and who was never served
comes before all who were. Whoever may open connections would come before every key that way.
"""

from __future__ import annotations

from quorate.engines.fair_turns import Caller

STRANGERS = Caller("strangers")
"""Whose turns all of them take together."""


async def no_turn() -> None:
    """For one that leaves: nothing had begun that is to be given back."""
