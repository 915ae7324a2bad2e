"""From a decision and a prompt to an ensemble: prompts, predictors and weights of one request."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from quorate.engines.chat.makeshift_tools import as_texts
from quorate.engines.contract import Engine
from quorate.engines.vocabulary import Vocabulary
from quorate.ensemble.alignments.bytes.alignment import ByteAlignment
from quorate.ensemble.alignments.contract import AlignmentStrategy
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment
from quorate.ensemble.alignments.tokens import TokenAlignment
from quorate.ensemble.alignments.union import UnionAlignment
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.gated import Gate, GatedEnsemble
from quorate.ensemble.losses import Attendance
from quorate.ensemble.member import Member, MemberPrompt
from quorate.ensemble.readings import on_the_same_bytes, read, readable
from quorate.ensemble.reasoning import Reasoning, reasoning_of
from quorate.ensemble.weighting import (
    BayesianWeights,
    ConfidentWeights,
    StaticWeights,
    Weigher,
    bits_per_byte,
    evidence,
    prompt_shares,
    shares,
    shares_along,
)
from quorate.errors import InvalidRequest, PromptTooLong, TemplateRefused
from quorate.large_texts import SLICE
from quorate.request import (
    Alignment,
    ChatPrompt,
    Decision,
    Prompt,
    TextPrompt,
    TokenPrompt,
    Weighting,
)
from quorate.request.prompts import BETWEEN_TURNS
from quorate.request.tool_format import AS_TEMPLATE, MAKESHIFT_FORMAT, ToolFormat
from quorate.threads import beside_loop

# Weights that need to know what each member makes of the prompt.
_READING = frozenset({Weighting.BAYESIAN, Weighting.PROMPT})


class _Fitted(NamedTuple):
    """A prompt that every member can read, with room for an answer.

    Attributes:
        whole: What the members read together.
        read: What each of them reads.
        calls: How all of them are asked to write calls of tools.
    """

    alignment: AlignmentStrategy[Any]
    whole: Prompt
    read: dict[str, Prompt]
    prompts: dict[str, MemberPrompt]
    calls: ToolFormat


async def assemble(
    decision: Decision, attendance: Attendance, prompt: Prompt, max_tokens: int
) -> Ensemble[Any]:
    """Makes the ensemble of one request; its sessions are not open yet.

    An answer has at most ``max_tokens`` tokens, as far as the members' contexts hold them.

    Raises:
        InvalidRequest: The prompt has no tokens at all, or special tokens that a member lacks.
        TemplateRefused: A member's chat template does not take the chat; names the member.
        PromptTooLong: The prompt leaves no room for an answer.
        Unavailable: What ``Losses.wait`` raises.
        QuorateError: What ``Engine.encode`` and ``readings.read`` raise.
    """
    alignment, whole, read, prompts, calls = await _fitted(decision, attendance, prompt)
    engines = attendance.engines
    weigher = await _weigher(decision, attendance, whole)
    max_tokens = min(max_tokens, *(prompts[model].max_tokens for model in engines))
    reads = decision.weighting in _READING
    members = []
    for model, engine in engines.items():
        own = prompts[model]
        predictor = alignment.predictor(engine, read[model], own, max_tokens)
        read_tokens = len(own.tokens) if reads else 0
        members.append(Member(model, engine, own, predictor, read_tokens))
    plan = [member.model for member in decision.members]
    losses, decided = attendance.losses, decision.gate
    if decided is None:
        return Ensemble(alignment, members, losses, weigher, plan=plan, calls=calls)
    gate = Gate(decided.leader, decided.threshold, decided.share)
    return GatedEnsemble(alignment, members, losses, weigher, plan=plan, calls=calls, gate=gate)


async def fitted_prompts(
    decision: Decision, attendance: Attendance, prompt: Prompt
) -> Mapping[str, MemberPrompt]:
    """The prompt as each member would read it; nothing but its tokens is made of it.

    Raises:
        QuorateError: What ``assemble`` raises of the prompt.
    """
    return (await _fitted(decision, attendance, prompt)).prompts


async def _fitted(decision: Decision, attendance: Attendance, prompt: Prompt) -> _Fitted:
    engines = attendance.engines
    if isinstance(prompt, ChatPrompt) and prompt.allow_text and prompt.size_bytes > SLICE:
        # Kept for those of the members that read it.
        await beside_loop(getattr, prompt, "as_text")
    calls = AS_TEMPLATE
    # Whoever is first may be lost while it is asked.
    while calls != (calls := _format_of(decision, next(iter(engines.values())))):
        read = {model: readable_by(engine, prompt, calls) for model, engine in engines.items()}
        encoded = await attendance.ask(partial(_read_encoded, read))
    read = {model: read[model] for model in engines}
    if isinstance(prompt, TokenPrompt):
        _check_vocabularies(engines)
    _check_specials(engines, encoded, [*read.values()])
    # A prompt that everybody reads as a text is one.
    as_chat = any(isinstance(one, ChatPrompt) for one in read.values())
    whole = prompt if as_chat else next(iter(read.values()))
    alignment = _alignment(decision, [*engines.values()], whole, [*encoded.values()])
    prompts = {
        model: _member_prompt(model, engines[model], tokens, alignment, read[model])
        for model, tokens in encoded.items()
    }
    return _Fitted(alignment, whole, read, prompts, calls)


def _format_of(decision: Decision, first: Engine) -> ToolFormat:
    """How members are asked to write calls: as the first one does, if only with letters.

    Bytes have no control tokens, so that nobody would see them.
    """
    calls = first.facts.template.calls
    by_tokens = decision.alignment is Alignment.SAME_VOCABULARY
    names = () if by_tokens else first.vocabulary.names.values()
    marked = any(name and name in piece for name in names for piece in calls.pieces)
    return MAKESHIFT_FORMAT if marked else calls


def readable_by(engine: Engine, prompt: Prompt, calls: ToolFormat) -> Prompt:
    """What a member reads: where it has no chat template, and the caller allows it, a text.

    Calls of tools are to be written so by all members, whatever their templates say.
    """
    if not isinstance(prompt, ChatPrompt):
        return prompt
    if prompt.allow_text and not engine.facts.capabilities.chat:
        return _as_text(prompt, calls)
    if prompt.shape.tools and calls != engine.facts.template.calls:
        return replace(prompt, calls=calls)
    return prompt


def _as_text(prompt: ChatPrompt, calls: ToolFormat) -> TextPrompt:
    if not prompt.shape.tools:
        return prompt.as_text
    turns = as_texts(prompt.messages, prompt.tools, calls)
    return TextPrompt(BETWEEN_TURNS.join(turn.content for turn in turns))


async def _read_encoded(read: Mapping[str, Prompt], model: str, engine: Engine) -> list[int]:
    return await _encoded(model, engine, read[model])


async def _encoded(model: str, engine: Engine, prompt: Prompt) -> list[int]:
    """The prompt as a member's tokens; what is refused is refused under the member's name."""
    if isinstance(prompt, TokenPrompt):
        return known_tokens("prompt", prompt.tokens, engine)
    try:
        return await engine.encode(prompt)
    except TemplateRefused as error:
        raise TemplateRefused(error.field, f"model {model}: {error.problem}") from error
    except PromptTooLong as error:
        if f"model {model}" in error.problem:
            raise
        problem = f"is too long for model {model}: {error.problem}"
        raise PromptTooLong(error.field, problem) from None


def known_tokens(field: str, tokens: Sequence[int], engine: Engine) -> list[int]:
    """Token ids that a member has, as its caller gave them.

    Raises:
        InvalidRequest: One that it does not have.
    """
    size = len(engine.vocabulary)
    for at, token in enumerate(tokens):
        if not 0 <= token < size:
            raise InvalidRequest(f"{field}[{at}]", f"is {token}; the ids are 0 to {size - 1}")
    return [*tokens]


def _check_specials(
    engines: Mapping[str, Engine], encoded: Mapping[str, Sequence[int]], read: Sequence[Prompt]
) -> None:
    """Checks that what is a special token for one member is none of the others' text.

    Each member parses the text by its own vocabulary. Who lacks a token would read its letters.

    Raises:
        InvalidRequest: Names a member that has fewer of them than another.
    """
    source = read[0]
    if not isinstance(source, TextPrompt) or not source.parse_special:
        return
    counts = [
        sum(token in engines[model].vocabulary.control for token in tokens)
        - (tokens[0] == engines[model].vocabulary.bos if tokens else 0)
        for model, tokens in encoded.items()
    ]
    fewest, most = min(counts), max(counts)
    if fewest < most:
        models = [*encoded]
        lacking, knowing = models[counts.index(fewest)], models[counts.index(most)]
        raise InvalidRequest(
            "prompt",
            f"has {most} special tokens for model {knowing}, and {fewest} for model {lacking}, "
            "which would read the others as text; name models that have them all",
        )


def _check_vocabularies(engines: Mapping[str, Engine]) -> None:
    """Checks that ids are the same tokens to everybody.

    Raises:
        InvalidRequest: They are not.
    """
    if len({engine.vocabulary.fingerprint for engine in engines.values()}) > 1:
        problem = f"has token ids, and {', '.join(engines)} have no common vocabulary; give a text"
        raise InvalidRequest("prompt", problem)


def _alignment(
    decision: Decision,
    engines: Sequence[Engine],
    prompt: Prompt,
    encoded: Sequence[Sequence[int]],
) -> AlignmentStrategy[Any]:
    match decision.alignment:
        case Alignment.BYTE_EXACT:
            return ByteAlignment(decision.beam)
        case Alignment.UNION_TOP_K:
            return UnionAlignment()
        case _:
            vocabularies = [engine.vocabulary for engine in engines]
            marks = [engine.facts.reasoning for engine in engines]
            # Of a raw prompt everything is the answer: no template says otherwise.
            chat = isinstance(prompt, ChatPrompt)
            reasoning = reasoning_of(marks, encoded, vocabularies) if chat else None
            return _token_alignment(vocabularies, reasoning)


def _token_alignment(
    vocabularies: Sequence[Vocabulary], reasoning: Reasoning | None
) -> AlignmentStrategy[Any]:
    """The ids themselves where the vocabularies are equal, which costs nothing."""
    if len({one.fingerprint for one in vocabularies}) == 1:
        return TokenAlignment(vocabularies[0], reasoning)
    return NearTokenAlignment(vocabularies, reasoning)


def _member_prompt(
    model: str,
    engine: Engine,
    tokens: Sequence[int],
    alignment: AlignmentStrategy[Any],
    prompt: Prompt,
) -> MemberPrompt:
    field = "chat" if isinstance(prompt, ChatPrompt) else "prompt"
    if not tokens:
        raise InvalidRequest(field, f"is empty for model {model}, which needs at least a token")
    holds = min(engine.facts.context_length, engine.facts.kv_tokens)
    left = holds - len(tokens)
    margin = alignment.margin(left)
    if left - margin <= 0:
        raise PromptTooLong(
            field,
            f"has {len(tokens)} tokens for model {model}, whose context holds {holds} "
            "with the answer; shorten it",
        )
    return MemberPrompt(tokens, left - margin, margin)


async def _weigher(decision: Decision, attendance: Attendance, prompt: Prompt) -> Weigher:
    known: list[list[float]] = []
    if decision.weighting in _READING:
        text = readable(prompt)
        readings = await attendance.ask(lambda _, engine: read(engine, text))
        known = on_the_same_bytes([*readings.values()])
    priors = _priors(decision, attendance.engines)
    match decision.weighting:
        case Weighting.CONFIDENCE:
            return ConfidentWeights(priors)
        case Weighting.BAYESIAN:
            return _bayesian(priors, decision.forgetting or 1.0, known, prompt)
        case Weighting.PROMPT:
            return StaticWeights(prompt_shares(priors, [bits_per_byte(one) for one in known]))
        case _:
            return StaticWeights(priors)


def _priors(decision: Decision, members: Container[str]) -> list[float]:
    """The plan's shares of those members that are there, normalised again."""
    return shares([one.weight or 0.0 for one in decision.members if one.model in members])


def _bayesian(
    priors: Sequence[float], forgetting: float, known: Sequence[Sequence[float]], prompt: Prompt
) -> BayesianWeights:
    """Bayesian weights that know the prompt, by what each member made of its bytes.

    A text goes on where it ended, and so does the evidence. A chat is answered: any part of it may
    be what the answer is about, so that its mean is the prior of the answer.
    """
    if isinstance(prompt, ChatPrompt):
        return BayesianWeights(shares_along(priors, known, forgetting), forgetting)
    return BayesianWeights(priors, forgetting, [evidence(one, forgetting) for one in known])
