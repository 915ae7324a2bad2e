"""How members are prepared for one request: openings, room and weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from quorate.engines.scripted.tokenizer import BOS, IM_START
from quorate.ensemble.alignments.bytes.beam import Opening
from quorate.ensemble.alignments.bytes.predictor import BytePredictor
from quorate.ensemble.alignments.near_tokens import NearTokenAlignment
from quorate.ensemble.alignments.tokens import TokenAlignment, TokenPredictor
from quorate.ensemble.assembly import assemble
from quorate.ensemble.ensemble import Ensemble
from quorate.ensemble.losses import Attendance, Losses
from quorate.ensemble.readings import on_the_same_bytes, read
from quorate.ensemble.weighting import (
    BayesianWeights,
    ConfidentWeights,
    StaticWeights,
    bits_per_byte,
    evidence,
    prompt_shares,
    shares_along,
)
from quorate.errors import InvalidRequest, PromptTooLong, TemplateRefused, UnsupportedPlan
from quorate.request import (
    Alignment,
    BeamOptions,
    ChatPrompt,
    CombinationRule,
    Decision,
    FailurePolicy,
    Message,
    Prompt,
    TextPrompt,
    WeightedModel,
    Weighting,
)
from support.distributions import normalised
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

PROMPT = TextPrompt("once upon a time")
CHAT = ChatPrompt((Message("user", "once upon a time"),))
ROWS = [normalised([0.0, 0.0])] * 2


def decision(weighting: Weighting = Weighting.STATIC, **changes: Any) -> Decision:
    whole = Decision(
        members=(WeightedModel("letters", 0.25), WeightedModel("words", 0.75)),
        rule=CombinationRule.LINEAR,
        alignment=Alignment.BYTE_EXACT,
        weighting=weighting,
        on_failure=FailurePolicy.AUTO,
        context_tokens=512,
        seed=0,
        forgetting=0.9 if weighting is Weighting.BAYESIAN else None,
        beam=BeamOptions(1e-2, 8),
    )
    return replace(whole, **changes)


def engines(**options: Any) -> list[InProcessEngine]:
    return [
        scripted_engine("letters", seed=1, **options),
        scripted_engine("words", vocabulary="words", seed=2, **options),
    ]


async def assembled(
    how: Decision, there: Sequence[InProcessEngine], prompt: Prompt, max_tokens: int
) -> Ensemble[Any]:
    attendance = Attendance({one.model_id: one for one in there}, Losses(how.on_failure))
    return await assemble(how, attendance, prompt, max_tokens)


async def weights(how: Decision, prompt: Prompt = PROMPT) -> tuple[object, list[float]]:
    weigher = (await assembled(how, engines(), prompt, 16)).weigher
    return type(weigher), weigher.weights(ROWS)


async def opening_of(prompt: Prompt, engine: InProcessEngine) -> Opening:
    how = decision(members=(WeightedModel(engine.model_id, 1.0),))
    ensemble = await assembled(how, [engine], prompt, 16)
    predictor = ensemble.members[0].predictor
    assert isinstance(predictor, BytePredictor)
    return predictor.opening


async def test_static_weights_are_the_plans() -> None:
    assert await weights(decision()) == (StaticWeights, [0.25, 0.75])


async def test_behind_a_text_bayesian_weights_start_from_the_evidence_at_its_end() -> None:
    readings = [await read(engine, PROMPT.text) for engine in engines()]
    known = [evidence(one, 0.9) for one in on_the_same_bytes(readings)]
    expected = BayesianWeights([0.25, 0.75], 0.9, known).weights(ROWS)
    kind, got = await weights(decision(Weighting.BAYESIAN))
    assert kind is BayesianWeights
    assert got == pytest.approx(expected)
    assert got != pytest.approx([0.25, 0.75])


async def test_behind_a_chat_bayesian_weights_start_from_the_mean_along_what_was_said() -> None:
    readings = [await read(engine, PROMPT.text) for engine in engines()]
    along = [reading.by_byte(len(PROMPT.text)) for reading in readings]
    expected = shares_along([0.25, 0.75], along, 0.9)
    kind, got = await weights(decision(Weighting.BAYESIAN), CHAT)
    assert kind is BayesianWeights
    assert got == pytest.approx(expected)
    assert got != pytest.approx([0.25, 0.75])


async def test_prompt_weights_follow_the_bits_per_byte_of_the_prompt() -> None:
    readings = [await read(engine, PROMPT.text) for engine in engines()]
    bits = [bits_per_byte(one) for one in on_the_same_bytes(readings)]
    kind, got = await weights(decision(Weighting.PROMPT))
    assert kind is StaticWeights
    assert got == pytest.approx(prompt_shares([0.25, 0.75], bits))


@pytest.mark.parametrize("weighting", [Weighting.PROMPT, Weighting.BAYESIAN])
async def test_a_prompt_that_says_nothing_leaves_the_plans_weights(weighting: Weighting) -> None:
    _, got = await weights(decision(weighting), TextPrompt(""))
    assert got == pytest.approx([0.25, 0.75])


async def test_confident_weights_start_from_the_plans() -> None:
    kind, got = await weights(decision(Weighting.CONFIDENCE))
    assert kind is ConfidentWeights
    assert got == pytest.approx([0.25, 0.75])


async def test_members_compare_tokens_where_all_share_them() -> None:
    how = decision(alignment=Alignment.SAME_VOCABULARY, beam=BeamOptions())
    twins = [scripted_engine("letters"), scripted_engine("words")]
    ensemble = await assembled(how, twins, PROMPT, 16)
    assert [type(one.predictor) for one in ensemble.members] == [TokenPredictor, TokenPredictor]


async def test_behind_a_text_the_last_token_is_given_as_bytes() -> None:
    engine = scripted_engine("a")
    tokens = await engine.encode(TextPrompt("xyz the"))
    opening = await opening_of(TextPrompt("xyz the"), engine)
    assert list(opening.prompt) == tokens[:-1]
    assert opening.forced == engine.vocabulary.pieces[tokens[-1]] == b" the"


async def test_behind_a_chat_and_behind_nothing_a_new_token_begins() -> None:
    engine = scripted_engine("a")
    assert await opening_of(CHAT, engine) == Opening(await engine.encode(CHAT), b"")
    assert await opening_of(TextPrompt(""), engine) == Opening([BOS], b"")


async def test_a_document_of_a_tokenizer_that_puts_a_space_before_it_begins_with_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = scripted_engine("a")
    monkeypatch.setattr(engine, "facts", replace(engine.facts, space_prefix=True))
    assert (await opening_of(TextPrompt(""), engine)).forced == b" "
    assert (await opening_of(TextPrompt("a"), engine)).forced == b"a"


async def max_tokens_and_margin(how: Decision, left: int, other: str = "words") -> tuple[int, int]:
    """Of a member whose context has so much room behind the prompt."""
    prompt = len(await engines()[0].encode(PROMPT))
    room = {"context_length": prompt + left}
    voting = [scripted_engine(name, vocabulary=name, **room) for name in ("letters", other)]
    ensemble = await assembled(how, voting, PROMPT, 512)
    first = ensemble.members[0].prompt
    return first.max_tokens, first.margin


@pytest.mark.parametrize(
    ("left", "max_tokens", "margin"), [(500, 420, 80), (160, 80, 80), (60, 30, 30), (20, 4, 16)]
)
async def test_a_beam_keeps_kv_tokens_beside_the_answer(
    left: int, max_tokens: int, margin: int
) -> None:
    assert await max_tokens_and_margin(decision(), left) == (max_tokens, margin)
    by_token = decision(alignment=Alignment.SAME_VOCABULARY)
    assert await max_tokens_and_margin(by_token, left, "letters") == (left, 0)


async def test_near_equal_vocabularies_vote_over_their_union_and_equal_ones_over_themselves() -> (
    None
):
    by_token = decision(alignment=Alignment.SAME_VOCABULARY)
    both = [scripted_engine(name, seed=1) for name in ("letters", "words")]
    equal = await assembled(by_token, both, PROMPT, 16)
    assert type(equal.alignment) is TokenAlignment
    names = {**both[1].vocabulary.names, 3: "<|other|>"}
    both[1].vocabulary = replace(both[1].vocabulary, names=names)
    near = await assembled(by_token, both, PROMPT, 16)
    assert type(near.alignment) is NearTokenAlignment


async def test_where_a_beam_could_not_heal_there_is_no_room_for_an_answer() -> None:
    assert await max_tokens_and_margin(decision(), 17) == (1, 16)
    with pytest.raises(PromptTooLong, match="shorten it"):
        await max_tokens_and_margin(decision(), 16)


@pytest.mark.parametrize(("prompt", "field"), [(PROMPT, "prompt"), (CHAT, "chat")])
async def test_a_prompt_that_fills_the_context_is_too_long(prompt: Prompt, field: str) -> None:
    with pytest.raises(PromptTooLong, match=f"^{field}: has .* tokens for model letters"):
        await assembled(decision(), engines(context_length=4), prompt, 16)


async def test_a_prompt_without_tokens_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = engines()

    async def nothing(prompt: Prompt) -> list[int]:
        return []

    monkeypatch.setattr(both[1], "encode", nothing)
    with pytest.raises(InvalidRequest, match="is empty for model words"):
        await assembled(decision(), both, PROMPT, 16)


async def test_behind_a_message_to_go_on_with_the_last_token_is_given_as_bytes() -> None:
    engine = scripted_engine("letters")
    begun = ChatPrompt((Message("user", "hi"), Message("assistant", "once upon a tim")))
    tokens = await engine.encode(begun)
    last = engine.vocabulary.pieces[tokens[-1]]
    assert last
    assert await opening_of(begun, engine) == Opening(tokens[:-1], last)
    empty = ChatPrompt((Message("user", "hi"), Message("assistant", "")))
    assert await opening_of(empty, engine) == Opening(await engine.encode(empty))


async def test_each_member_reads_a_chat_in_its_own_form() -> None:
    chat, base = scripted_engine("letters"), scripted_engine("words", chat=False)
    asked = replace(CHAT, allow_text=True)
    ensemble = await assembled(decision(), [chat, base], asked, 8)
    prompts = [member.prompt.tokens for member in ensemble.members]
    assert prompts == [await chat.encode(CHAT), await base.encode(PROMPT)]
    with pytest.raises(UnsupportedPlan, match="no chat template"):
        await assembled(decision(), [chat, base], CHAT, 8)


async def test_a_chat_that_everybody_reads_as_a_text_is_weighed_as_one() -> None:
    engines = [scripted_engine(name, chat=False) for name in ("letters", "words")]
    asked, weights = replace(CHAT, allow_text=True), decision(Weighting.BAYESIAN)
    as_chat, as_text = [
        (await assembled(weights, engines, prompt, 8)).weigher.weights(ROWS)
        for prompt in (asked, PROMPT)
    ]
    assert list(as_chat) == pytest.approx(list(as_text))


async def test_what_a_template_refuses_is_refused_under_the_members_name() -> None:
    template = "{{ messages[0].content }}{{ raise_exception('no') if messages | length > 1 }}"
    engines = [scripted_engine("letters"), scripted_engine("words", template=template)]
    twice = ChatPrompt((*CHAT.messages, Message("assistant", "so"), *CHAT.messages))
    with pytest.raises(TemplateRefused, match="model words: its chat template refuses"):
        await assembled(decision(), engines, twice, 8)


async def test_a_special_token_that_a_member_lacks_is_never_read_as_text() -> None:
    knowing, lacking = scripted_engine("letters"), scripted_engine("words")
    written = TextPrompt("<|im_start|>go<|im_end|>", parse_special=True)
    ensemble = await assembled(decision(), [knowing, lacking], written, 8)
    assert [len(member.prompt.tokens) for member in ensemble.members] == [5, 5]
    special = await knowing.encode(written)
    lacking.encode = as_text(lacking.encode)  # type: ignore[method-assign]
    with pytest.raises(
        InvalidRequest, match="2 special tokens for model letters, and 0 for model w"
    ):
        await assembled(decision(), [knowing, lacking], written, 8)
    assert special[1:2] == [IM_START]
    # Nobody minds where nothing is to be special.
    await assembled(decision(), [knowing, lacking], TextPrompt(written.text), 8)


def as_text(encode: Any) -> Any:
    """The tokenizer of a model that knows none of the special tokens."""

    async def plain(prompt: Prompt) -> list[int]:
        return await encode(replace(prompt, parse_special=False))

    return plain
