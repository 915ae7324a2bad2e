"""Generations that the scheduler draws: the tokens of a vote of one, and no further than read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.generation import SAMPLED_AHEAD, SampledToken
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.scheduler.scheduler import Completion, Scheduler
from quorate.engines.scripted.model import ScriptedModel
from quorate.request import SamplingOptions
from quorate.sampling.candidates import largest
from quorate.sampling.sampler import Sampler
from support.scripted_models import empty_row, engine_sampling, fresh_row, scripted_model

PROMPT = [9, 8, 7, 6, 5]


def opened(model: ScriptedModel, *sessions: int) -> Scheduler:
    scheduler = Scheduler(model)
    for session in sessions:
        scheduler.open(session, empty_row(model), masked_mass=np.zeros(1, np.float32))
    return scheduler


def run(scheduler: Scheduler, steps: int = 10_000) -> list[SessionOutput]:
    """All that is sampled until nothing is left to do, or in so many steps."""
    outputs = []
    while steps and scheduler.has_work:
        scheduler.step()
        outputs += scheduler.sampled()
        steps -= 1
    return outputs


def tokens_of(outputs: Sequence[SessionOutput], session: int = 0) -> list[SampledToken]:
    return [token for one in outputs if one.session == session for token in one.tokens]


def drawn_from_rows(prompt: list[int], count: int, seed: int, **options: Any) -> list[int]:
    """What a vote of one draws."""
    model = scripted_model()
    sampler = Sampler(SamplingOptions(**options), len(model.vocabulary), seed, prompt)
    held = list(prompt)
    while len(held) < len(prompt) + count:
        held.append(sampler.sample(fresh_row(held)))
        if held[-1] in model.vocabulary.end_of_generation:
            break
    return held[len(prompt) :]


@given(
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 5, 40]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.05, 0.5]),
    repetition_penalty=st.sampled_from([1.0, 1.3]),
    frequency_penalty=st.sampled_from([0.0, 0.8]),
    presence_penalty=st.sampled_from([0.0, -0.5]),
    bias=st.dictionaries(st.integers(5, 60), st.floats(-4, 4), max_size=3),
    seed=st.integers(0, 2**53 - 1),
    beside=st.booleans(),
)
def test_what_is_drawn_is_what_a_vote_of_one_draws(
    seed: int, beside: bool, bias: dict[int, float], **options: float
) -> None:
    how: Any = options
    scheduler = opened(scripted_model(batch_tokens=4), 0, 1)
    if beside:
        scheduler.generate(1, [5] * 9, engine_sampling(max_tokens=20, temperature=1.0))
    asked = engine_sampling(max_tokens=12, seed=seed, logit_bias=[*bias.items()], **how)
    scheduler.generate(0, PROMPT, asked)
    sampled = [one.token for one in tokens_of(run(scheduler))]
    assert sampled == drawn_from_rows(PROMPT, 12, seed, logit_bias=bias, **how)


def test_what_is_told_beside_a_token_is_what_its_row_says() -> None:
    scheduler = opened(scripted_model(masked=0.25, control=0.1), 0)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=3, top_logprobs=4, temperature=1.0))
    held = list(PROMPT)
    sampled = tokens_of(run(scheduler))
    for one in sampled:
        row = fresh_row(held, masked=0.25, control=0.1)
        assert one.logprob == float(row[one.token])
        assert one.top == [(token, float(row[token])) for token in largest(row, 4).tolist()]
        assert one.masked_mass == pytest.approx(0.25)
        held.append(one.token)
    assert len(sampled) == 3


def test_a_token_is_fed_before_it_is_told_and_only_the_last_one_is_not() -> None:
    model = scripted_model()
    scheduler = opened(model, 0)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=3))
    outputs = run(scheduler)
    sampled = [one.token for one in tokens_of(outputs)]
    assert [one.finished for one in outputs] == [False, False, True]
    assert model.tokens(0) == (*PROMPT, *sampled[:2])


def test_an_end_of_generation_is_told_and_is_the_last() -> None:
    model = scripted_model(say="on")
    scheduler = opened(model, 0)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=50))
    outputs = run(scheduler)
    assert len(outputs) == 3
    assert outputs[-1].finished
    assert tokens_of(outputs)[-1].token in model.vocabulary.end_of_generation


def test_a_prompt_is_read_in_chunks_and_found_again_with_what_was_drawn() -> None:
    scheduler = opened(scripted_model(batch_tokens=3), 0)
    prompt = [9, 8, 7, 6, 5] * 3
    scheduler.generate(0, prompt, engine_sampling(max_tokens=6))
    outputs = run(scheduler, 5)
    assert len(tokens_of(outputs)) == 1
    assert outputs[0].cached_tokens == 0
    held = [*prompt, *(one.token for one in tokens_of(outputs + run(scheduler)))]
    scheduler.close(0)
    scheduler.open(1, empty_row(scripted_model()))
    scheduler.generate(1, held, engine_sampling(max_tokens=1))
    (again,) = run(scheduler)
    assert again.cached_tokens == len(held) - 1


def test_votes_and_generations_share_decode_calls_and_feeds_are_told_first() -> None:
    scheduler = opened(scripted_model(), 0, 1)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=4))
    for tokens in ([9], [8], [7]):
        scheduler.feed(1, tokens)
        assert scheduler.step() == [Completion(1, 0)]
        assert len(tokens_of(scheduler.sampled())) == 1


def test_a_generation_stands_still_where_its_reader_does_and_goes_on_with_it() -> None:
    model = scripted_model(context_length=512)
    scheduler = opened(model, 0)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=300))
    first = tokens_of(run(scheduler))
    assert len(first) == SAMPLED_AHEAD
    assert not scheduler.has_work
    assert scheduler.step() == []
    scheduler.taken(0, 10)
    assert scheduler.has_work
    more = tokens_of(run(scheduler))
    assert len(more) == 10
    scheduler.taken(0, 500)
    rest = tokens_of(run(scheduler))
    assert len(first) + len(more) + len(rest) == 300
    free = opened(scripted_model(context_length=512), 0)
    free.generate(0, PROMPT, engine_sampling(max_tokens=300))
    free.taken(0, 300)
    assert tokens_of(run(free)) == first + more + rest
    # It is over: whoever takes the last of it starts nothing.
    scheduler.taken(0, 10)
    assert not scheduler.has_work


def test_others_go_on_while_one_waits_for_its_reader() -> None:
    scheduler = opened(scripted_model(), 0, 1)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=300))
    run(scheduler)
    scheduler.feed(1, [9, 8])
    assert scheduler.step() == [Completion(1, 0)]
    assert scheduler.sampled() == []


@pytest.mark.parametrize("steps", [0, 1, 2, SAMPLED_AHEAD])
def test_a_generation_that_is_closed_draws_nothing_more(steps: int) -> None:
    scheduler = opened(scripted_model(), 0)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=300))
    run(scheduler, steps)
    scheduler.close(0)
    assert not scheduler.has_work
    assert scheduler.sampled() == []


def test_one_that_is_closed_between_its_row_and_its_token_is_not_drawn() -> None:
    scheduler = opened(scripted_model(), 0, 1)
    for session in (0, 1):
        scheduler.generate(session, PROMPT, engine_sampling())
    scheduler.step()
    assert scheduler.has_work
    scheduler.close(0)
    assert [one.session for one in scheduler.sampled()] == [1]


def test_a_row_of_which_bias_leaves_nothing_ends_it_without_a_token() -> None:
    model = scripted_model()
    scheduler = opened(model, 0)
    nothing = [(token, -1e39) for token in range(len(model.vocabulary))]
    scheduler.generate(0, PROMPT, engine_sampling(logit_bias=nothing))
    (output,) = run(scheduler)
    assert output == SessionOutput(0, (), True, 0)


def test_a_session_that_goes_on_alone_takes_nothing_else() -> None:
    scheduler = opened(scripted_model(), 0)
    scheduler.generate(0, PROMPT, engine_sampling(max_tokens=2))
    for _ in range(2):
        with pytest.raises(ValueError, match="after a generation it can only be closed"):
            scheduler.feed(0, [9])
        run(scheduler)
    with pytest.raises(ValueError, match="session 7 is not open"):
        scheduler.taken(7, 1)
