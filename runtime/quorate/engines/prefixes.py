"""What two texts of tokens have in common. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BLOCK = 256


def common_prefix(left: Sequence[int], right: Sequence[int], limit: int) -> int:
    """Length of the longest common prefix, at most ``limit``.

    Blocks are compared as slices first, which runs at C speed where both sequences are of one type:
    this is done against every held text for each new prompt.
    """
    limit = min(limit, len(left), len(right))
    for start in range(0, limit, _BLOCK):
        end = min(start + _BLOCK, limit)
        if left[start:end] == right[start:end]:
            continue
        # Slices of different types are never equal.
        for position in range(start, end):
            if left[position] != right[position]:
                return position
    return limit
