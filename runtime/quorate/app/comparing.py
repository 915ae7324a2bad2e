"""Compares vocabularies before anybody asks for a vote of them.

Two tables of 150,000 tokens take 0.1 to 0.3 s the first time; what was found is kept. A request
that is quicker than this compares them itself.
"""

from __future__ import annotations

from contextlib import aclosing

from quorate.engines.near_equal import disagreement
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.token_union import unite_tokens
from quorate.fleet.fleet import Fleet
from quorate.threads import beside_loop


async def compare_as_they_come(fleet: Fleet) -> None:
    """Compares each model with those that are there, for as long as the service lives."""
    compared: set[tuple[str, str]] = set()
    async with aclosing(fleet.watch()) as statuses:
        async for status in statuses:
            if status.vocabulary is None:
                continue
            for other in list(fleet.statuses.values()):
                if other.vocabulary is None or other.id == status.id:
                    continue
                pair = status.vocabulary_fingerprint, other.vocabulary_fingerprint
                if pair[0] == pair[1] or pair in compared:
                    continue
                compared |= {pair, pair[::-1]}
                await beside_loop(_compare, status.vocabulary, other.vocabulary)


def _compare(one: Vocabulary, other: Vocabulary) -> None:
    """Both ways round: the first of a plan's members decides which way is asked for."""
    for pair in ((one, other), (other, one)):
        if not disagreement(pair):
            unite_tokens(pair)
