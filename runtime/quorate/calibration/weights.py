"""Suggested weights of an ensemble from how often its members are right. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from quorate.routing.quality import Tally


def suggest_weights(tallies: Mapping[str, Tally]) -> dict[str, float]:
    """Weights that sum to 1, in proportion to each member's odds of being right.

    That is a softmax of the log-odds, which are the best weights for a vote of independent members
    on a question with two answers (Nitzan and Paroush, Optimal decision rules in uncertain
    dichotomous choice situations, 1982). Members that vote on tokens are not of that kind, so that
    the result is a place to start from: what it is worth shows when the ensemble with these weights
    is calibrated itself. Half a case is added to both sides, which keeps the odds finite.

    Args:
        tallies: Of each member alone, by its id.
    """
    odds = {
        model: (counted.right + 0.5) / (counted.cases - counted.right + 0.5)
        for model, counted in tallies.items()
    }
    total = sum(odds.values())
    return {model: value / total for model, value in odds.items()}
