"""Pareto fronts. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of points that no other beats in both values, where less is better, by the first.

    Of equal points the first stands for all.
    """
    order = sorted(range(len(points)), key=lambda index: (*points[index], index))
    found: list[int] = []
    lowest = float("inf")
    for index in order:
        if points[index][1] < lowest:
            lowest = points[index][1]
            found.append(index)
    return found
