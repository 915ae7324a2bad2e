"""Prompts that are told before their answers, each token with its log-prob.

OpenAI's ``echo``: by it programs that compare models have them judge texts. The prompt is scored in
blocks, behind its first token, and then answered; whoever wants no more than the log-probs asks for
no tokens.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from quorate.api.tokenizing import Tokenizing, Tokens
from quorate.dispatch import Dispatcher
from quorate.errors import UnsupportedPlan
from quorate.request import (
    Accepted,
    Decision,
    Delta,
    Event,
    Finished,
    FinishReason,
    NamedPlan,
    Plan,
    Request,
    ScoreRequest,
    Token,
    TokenPrompt,
    Usage,
)

_NOTHING = Usage(prompt_tokens=0, generated_tokens=0, time_to_first_token_ms=0.0, duration_ms=0.0)
_NOT_KNOWN = math.nan
"""Log-prob of what nothing stands before."""


async def echoed(
    dispatcher: Dispatcher, tokenizing: Tokenizing, request: Request, *, answers: bool
) -> AsyncGenerator[Event, None]:
    """The events of a request, with its prompt as the first delta.

    Args:
        dispatcher: Runs requests.
        tokenizing: Turns prompts into tokens.
        request: With a text or tokens.
        answers: Whether the prompt is answered as well.

    Raises:
        UnsupportedPlan: The plan is no single vote of local models that share a vocabulary.
        QuorateError: What ``Dispatcher.score`` and ``Dispatcher.generate`` raise.
    """
    decision = dispatcher.explain(request)
    if decision.route.remote or decision.route.stages or not decision.members:
        raise UnsupportedPlan("echo", "needs a plan that is a single vote of local models")
    prompt = request.prompt
    given = prompt if isinstance(prompt, TokenPrompt) else None
    first = decision.members[0].model
    if given is not None:
        tokens = await tokenizing.detokenize(first, given.tokens)
    else:
        tokens = await tokenizing.tokenize(first, prompt, field="prompt")
    usage, scored = await _scored(dispatcher, request, decision, tokens)
    # What begins every text is no part of one that was given as a text.
    shown = _shown(tokens, scored, begins=given is not None)
    yield Accepted(request.request_id, decision)
    yield Delta("".join(token.piece.decode("utf-8", "replace") for token in shown), tuple(shown))
    if not answers:
        # It was all read, and nothing was written.
        read = replace(usage, prompt_tokens=len(tokens.ids), generated_tokens=0)
        yield Finished(FinishReason.MAX_TOKENS, read, request.request_id)
        return
    told = replace(request, prompt=TokenPrompt(tuple(tokens.ids)), plan=_named(decision))
    async with aclosing(dispatcher.generate(told)) as events:
        async for event in events:
            if not isinstance(event, Accepted):
                yield event


async def _scored(
    dispatcher: Dispatcher, request: Request, decision: Decision, tokens: Tokens
) -> tuple[Usage, Sequence[Token]]:
    """What all tokens but the first are to the plan, and what that took."""
    if len(tokens.ids) < 2:
        return _NOTHING, ()
    ids = tuple(tokens.ids)
    score = await dispatcher.score(
        ScoreRequest(
            prompt=TokenPrompt(ids[:1]),
            continuation="",
            continuation_tokens=ids[1:],
            plan=_named(decision),
            request_id=request.request_id,
            key=request.key,
            origin=request.origin,
            trace_parent=request.trace_parent,
            top_logprobs=request.response.top_logprobs,
        )
    )
    return score.usage, score.tokens


def _named(decision: Decision) -> NamedPlan:
    """The plan that was decided, so that scoring and answering are one."""
    return Plan(
        members=decision.members,
        rule=decision.rule,
        alignment=decision.alignment,
        weighting=decision.weighting,
        on_failure=decision.on_failure,
    )


def _shown(tokens: Tokens, scored: Sequence[Token], *, begins: bool) -> list[Token]:
    """The tokens of a prompt, control tokens by their names."""
    first = Token(tokens.ids[0], tokens.pieces[0], _NOT_KNOWN)
    known = [first, *scored] if begins or tokens.pieces[0] else [*scored]
    ids = tokens.ids[len(tokens.ids) - len(known) :]
    return [
        replace(
            token,
            piece=tokens.control[one].encode() if one in tokens.control else token.piece,
            control=False,
        )
        for one, token in zip(ids, known, strict=True)
    ]
