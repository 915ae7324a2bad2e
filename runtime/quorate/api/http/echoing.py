"""Prompts that are told before their answers, each token with its log-prob.

OpenAI's ``echo``: by it programs that compare models have them judge texts. The prompt is scored in
blocks, from where it differs from those that were scored last, and then answered; whoever wants no
more than the log-probs asks for no tokens.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import AsyncGenerator, Hashable, Sequence
from contextlib import aclosing
from dataclasses import replace
from weakref import ref

from quorate.access.origins import machine
from quorate.api.http.scored_texts import ScoredTexts
from quorate.api.tokenizing import Tokenizing, Tokens
from quorate.dispatch import Dispatcher
from quorate.errors import QuorateError, UnsupportedPlan
from quorate.fleet.fleet import Fleet
from quorate.request import (
    Accepted,
    Alignment,
    DecidedGate,
    Decision,
    Delta,
    Event,
    Finished,
    FinishReason,
    GateOptions,
    NamedPlan,
    Plan,
    Request,
    Score,
    ScoreRequest,
    Token,
    TokenPrompt,
    Usage,
    Weighting,
)

_NOTHING = Usage(prompt_tokens=0, generated_tokens=0, time_to_first_token_ms=0.0, duration_ms=0.0)
_NOT_KNOWN = math.nan
"""Log-prob of what nothing stands before."""


class Echoes:
    """Answers requests, each with its prompt as the first delta.

    Args:
        dispatcher: Runs requests.
        fleet: Knows the models.
        tokenizing: Turns prompts into tokens.
    """

    def __init__(self, dispatcher: Dispatcher, fleet: Fleet, tokenizing: Tokenizing) -> None:
        self._dispatcher = dispatcher
        self._fleet = fleet
        self._tokenizing = tokenizing
        self._texts = ScoredTexts()

    async def answer(self, request: Request, *, answers: bool) -> AsyncGenerator[Event, None]:
        """The events of a request.

        Args:
            request: With a text or tokens.
            answers: Whether the prompt is answered as well.

        Raises:
            UnsupportedPlan: The plan is no single vote of local models, token by token.
            QuorateError: What ``Dispatcher.score`` and ``Dispatcher.generate`` raise.
        """
        decision = self._dispatcher.explain(request)
        route = decision.route
        if route.remote or route.stages or route.answers is not None or not decision.members:
            raise UnsupportedPlan("echo", "needs a plan that is a single vote of local models")
        if decision.alignment is not Alignment.SAME_VOCABULARY:
            raise UnsupportedPlan("echo", "needs a plan whose members vote token by token")
        prompt = request.prompt
        given = prompt if isinstance(prompt, TokenPrompt) else None
        first = decision.members[0].model
        if given is not None:
            tokens = await self._tokenizing.detokenize(first, given.tokens, field="prompt")
        else:
            tokens = await self._tokenizing.tokenize(first, prompt, field="prompt")
        usage, scored = await self._scored(request, decision, tokens.ids)
        # What begins every text is no part of one that was given as a text.
        shown = _shown(tokens, scored, begins=given is not None)
        yield Accepted(request.request_id, decision)
        yield Delta("".join(token.piece.decode("utf-8", "replace") for token in shown), shown)
        if not answers:
            # It was all read, and nothing was written.
            read = replace(usage, prompt_tokens=len(tokens.ids), generated_tokens=0)
            yield Finished(FinishReason.MAX_TOKENS, read, request.request_id)
            return
        told = replace(request, prompt=TokenPrompt(tuple(tokens.ids)), plan=_named(decision))
        async with aclosing(self._dispatcher.generate(told)) as events:
            async for event in events:
                if not isinstance(event, Accepted):
                    yield event

    async def _scored(
        self, request: Request, decision: Decision, ids: Sequence[int]
    ) -> tuple[Usage, Sequence[Token]]:
        """What all tokens but the first are to the plan, and what it took to find that out."""
        if len(ids) < 2:
            return _NOTHING, ()
        judge = self._judge(request, decision)
        if judge is None:
            score = await self._score(request, decision, ids, 1)
            return score.usage, score.tokens
        text = array("q", ids)
        known = await self._texts.beginning(judge, text)
        with self._texts.scoring(judge, text, len(known)) as one:
            score = await self._score(request, decision, ids, 1 + len(known))
            if known and self._judge(request, decision) != judge:
                # What was known is of weights that are gone.
                known, score = (), await self._score(request, decision, ids, 1)
            scored = [*known, *score.tokens]
            whole = len(score.members) == len(decision.members)
            if whole and self._judge(request, decision) == judge:
                one.scored = scored
        return score.usage, scored

    def _judge(self, request: Request, decision: Decision) -> Hashable | None:
        """Who judges texts; None where what a token is depends on more than those before it."""
        if decision.weighting is not Weighting.STATIC:
            return None
        statuses = [self._fleet.statuses[model] for model in decision.models]
        if len({one.vocabulary_fingerprint for one in statuses}) > 1:
            # A token of a prompt and one that is judged may be two things to a member.
            return None
        try:
            with self._fleet.muster(decision.models) as (engines, away):
                if away:
                    return None
                lives = [(ref(one), self._fleet.restarts(model)) for model, one in engines.items()]
        except QuorateError:
            # Whoever scores says what is wrong.
            return None
        return (
            # No key or machine can tell by the clock what another one asked.
            request.key or machine(request.origin),
            decision.members,
            decision.rule,
            request.response.top_logprobs,
            tuple(lives),
        )

    async def _score(
        self, request: Request, decision: Decision, ids: Sequence[int], known: int
    ) -> Score:
        """Scores a text behind its first tokens."""
        return await self._dispatcher.score(
            ScoreRequest(
                prompt=TokenPrompt(tuple(ids[:known])),
                continuation="",
                continuation_tokens=tuple(ids[known:]),
                plan=_named(decision),
                request_id=request.request_id,
                key=request.key,
                origin=request.origin,
                trace_parent=request.trace_parent,
                top_logprobs=request.response.top_logprobs,
            )
        )


def _named(decision: Decision) -> NamedPlan:
    """The plan that was decided, so that scoring and answering are one."""
    return Plan(
        members=decision.members,
        rule=decision.rule,
        alignment=decision.alignment,
        weighting=decision.weighting,
        on_failure=decision.on_failure,
        forgetting=decision.forgetting,
        gate=_gate(decision.gate),
    )


def _gate(decided: DecidedGate | None) -> GateOptions:
    if decided is None:
        return GateOptions()
    return GateOptions(decided.leader, decided.threshold, decided.share)


def _shown(tokens: Tokens, scored: Sequence[Token], *, begins: bool) -> tuple[Token, ...]:
    """The tokens of a prompt, control tokens by their names."""
    first = Token(tokens.ids[0], tokens.pieces[0], _NOT_KNOWN)
    known = [first, *scored] if begins or tokens.pieces[0] else [*scored]
    ids = tokens.ids[len(tokens.ids) - len(known) :]
    return tuple(
        replace(
            token,
            piece=tokens.control[one].encode() if one in tokens.control else token.piece,
            control=False,
        )
        for one, token in zip(ids, known, strict=True)
    )
