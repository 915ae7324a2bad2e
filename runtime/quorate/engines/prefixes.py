"""What two texts of tokens have in common. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCK = 256


def common_prefix(left: Sequence[int], right: Sequence[int], limit: int) -> int:
    """Length of the longest common prefix of two sequences of one type, at most ``limit``.

    Blocks are compared as slices first, which runs at C speed: this is done against every held
    text for each new prompt.
    """
    limit = min(limit, len(left), len(right))
    start = 0
    while start < limit and left[start : start + _BLOCK] == right[start : start + _BLOCK]:
        start += _BLOCK
    for position in range(start, min(start + _BLOCK, limit)):
        if left[position] != right[position]:
            return position
    return limit
