"""What a vote knows of others that were had of its members."""

from __future__ import annotations

from collections.abc import Hashable

import pytest

from quorate.dispatch.voting import steps
from quorate.ensemble.alignments.bytes.alignment import ByteAlignment
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.drafts import drafting
from quorate.ensemble.drafts.costs import Costs, KnownCosts
from quorate.request import (
    Alignment,
    BeamOptions,
    CombinationRule,
    DecidedDraft,
    Decision,
    FailurePolicy,
    Request,
    ResponseOptions,
    WeightedModel,
    Weighting,
)
from support.ensembles import GREEDY, PROMPT, run_out, unopened
from support.scripted_models import scripted_engine


class _Told(KnownCosts):
    """Notes which costs each vote was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Costs] = []

    def of(self, members: Hashable) -> Costs:
        self.given.append(super().of(members))
        return self.given[-1]


async def test_times_of_tokens_are_not_those_of_bytes_of_the_same_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drafting, "_held_up", lambda took: False)
    engines = [scripted_engine(name, seed=at, sessions=8) for at, name in enumerate("ab")]
    costs = _Told()
    for alignment in (Alignment.SAME_VOCABULARY, Alignment.BYTE_EXACT, Alignment.SAME_VOCABULARY):
        by_tokens = alignment is Alignment.SAME_VOCABULARY
        ensemble = await unopened(
            TokenAlignment(engines[0].vocabulary) if by_tokens else ByteAlignment(BeamOptions()),
            *((engine, 0.5) for engine in engines),
        )
        decision = Decision(
            members=tuple(WeightedModel(one.model_id, 0.5) for one in engines),
            rule=CombinationRule.LINEAR,
            alignment=alignment,
            weighting=Weighting.STATIC,
            on_failure=FailurePolicy.AUTO,
            context_tokens=256,
            seed=1,
            draft=DecidedDraft("a", 4),
        )
        await ensemble.open()
        try:
            request = Request(PROMPT, sampling=GREEDY)
            await run_out(steps(ensemble, decision, request, ResponseOptions(), 6, costs))
        finally:
            ensemble.close()
    tokens, of_bytes, again = costs.given
    assert of_bytes is not tokens is again
    assert tokens.together.count > 0 < of_bytes.together.count
