from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.scheduler.contract import Chunk, NoRoom
from quorate.engines.scripted.model import ScriptedModel, load
from quorate.engines.scripted.options import ScriptedOptions
from quorate.engines.scripted.tokenizer import (
    BOS,
    END_OF_TURN,
    EOS,
    IM_END,
    IM_START,
    build_vocabulary,
)
from quorate.errors import InvalidRequest, ModelUnusable, UnsupportedPlan
from quorate.request import ChatPrompt, Message, TextPrompt
from support.scripted_models import empty_row, engine_sampling, fresh_row, scripted_model
from support.scripted_processes import decode_steps, exit_code


def text_of(model: ScriptedModel, tokens: list[int]) -> str:
    return b"".join(model.vocabulary.pieces[token] for token in tokens).decode()


def greedy(model: ScriptedModel, prompt: list[int], most: int, **options: Any) -> list[int]:
    tokens = list(prompt)
    while len(tokens) < len(prompt) + most:
        tokens.append(int(fresh_row(tokens, **options).argmax()))
        if tokens[-1] in model.vocabulary.end_of_generation:
            break
    return tokens[len(prompt) :]


def test_rows_are_normalised_float32() -> None:
    row = fresh_row([9, 8, 7])
    assert row.dtype == np.float32
    assert np.flatnonzero(np.isneginf(row)).tolist() == [BOS, IM_START, IM_END]
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1, abs=1e-6)


def test_the_numbers_are_the_same_on_every_machine() -> None:
    row = fresh_row([BOS, 100, 101], seed=3)
    assert int(row.argmax()) == 263
    expected = [-11.770208, -10.008424, -2.179222]
    np.testing.assert_allclose(row[[5, 100, 263]], expected, rtol=1e-6)


def test_log_probs_depend_on_seed_and_on_the_whole_context() -> None:
    contexts = ([9, 8, 7], [9, 8, 6], [1, 8, 7], [8, 7])
    rows = [fresh_row(tokens).tobytes() for tokens in contexts]
    assert len({*rows, fresh_row([9, 8, 7], seed=1).tobytes()}) == 5
    assert fresh_row([9, 8, 7]).tobytes() == rows[0]


def test_no_sharpness_makes_ordinary_tokens_equally_probable() -> None:
    row = fresh_row([9, 8, 7], sharpness=0.0)
    letters = [build_vocabulary("letters").pieces.index(bytes((letter,))) for letter in b"az e"]
    assert np.ptp(row[letters]) == 0
    assert row[letters[0]] > row[EOS] + 5


def test_it_says_its_text_and_then_ends() -> None:
    options = {"say": "banana bandana costs 5 €", "seed": 4}
    model = scripted_model(**options)
    prompt = model.encode(TextPrompt("Tell me"))
    answer = greedy(model, prompt, 60, **options)
    assert text_of(model, answer) == "banana bandana costs 5 €"
    assert answer[-1] == EOS


def test_the_next_token_of_its_text_has_at_least_the_stated_probability() -> None:
    row = fresh_row([BOS, 50], say="x", confidence=0.75)
    expected = scripted_model().encode_continuation("x")[0]
    assert 0.75 <= np.exp(row[expected]) < 0.9
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1, abs=1e-6)


def test_members_of_one_vocabulary_can_vote_and_others_cannot() -> None:
    letters, same = scripted_model(seed=1), scripted_model(seed=2)
    words = scripted_model(vocabulary="words")
    assert letters.vocabulary.fingerprint == same.vocabulary.fingerprint
    assert letters.vocabulary.fingerprint != words.vocabulary.fingerprint


@pytest.mark.parametrize("name", ["letters", "words"])
def test_the_vocabulary_has_the_awkward_tokens_of_real_ones(name: str) -> None:
    vocabulary = build_vocabulary(name)
    assert vocabulary.bos == BOS
    assert vocabulary.end_of_generation == {EOS, END_OF_TURN}
    assert vocabulary.control == {BOS, EOS, END_OF_TURN, IM_START, IM_END}
    assert all(not vocabulary.pieces[token] for token in vocabulary.control)
    assert set("€".encode()) <= {piece[0] for piece in vocabulary.pieces if len(piece) == 1}


def test_two_tokens_of_the_word_vocabulary_share_their_bytes() -> None:
    pieces = [piece for piece in build_vocabulary("words").pieces if piece]
    assert [piece for piece, count in Counter(pieces).items() if count > 1] == [b" "]


@given(text=st.text(), vocabulary=st.sampled_from(["letters", "words"]))
def test_any_text_survives_the_way_through_tokens(text: str, vocabulary: str) -> None:
    model = scripted_model(vocabulary=vocabulary)
    tokens = model.encode(TextPrompt(text))
    assert tokens[0] == BOS
    assert text_of(model, tokens) == text
    assert model.encode_continuation(text) == tokens[1:]
    assert not model.vocabulary.control.intersection(tokens[1:])


def test_a_vocabulary_can_be_made_of_any_texts() -> None:
    model = scripted_model(pieces=["a", "ab", "", "é", "a"])
    assert model.vocabulary.pieces == (b"",) * 5 + (b"a", b"ab", b"", "é".encode(), b"a")
    assert model.vocabulary.control == {BOS, EOS, END_OF_TURN, IM_START, IM_END, 7}
    assert model.vocabulary.end_of_generation == {EOS, END_OF_TURN}
    row = fresh_row([BOS], pieces=["a", "ab", "", "é", "a"])
    assert np.flatnonzero(np.isneginf(row)).tolist() == [BOS, IM_START, IM_END, 7]


def test_what_no_piece_of_a_made_vocabulary_begins_with_is_left_out() -> None:
    model = scripted_model(pieces=["a", "ab", "é"])
    assert text_of(model, model.encode_continuation("xaby é-a")) == "abéa"
    assert model.encode(TextPrompt("xyz")) == [BOS]


def test_an_opaque_vocabulary_knows_ids_and_no_bytes() -> None:
    model = scripted_model(vocabulary="opaque")
    assert len(model.vocabulary) == 69
    assert not model.vocabulary.has_bytes
    assert model.encode(TextPrompt("a")) == [BOS]
    assert model.encode_continuation("a") == []
    assert scripted_model().vocabulary.has_bytes


def test_a_scored_chunk_gets_the_log_prob_of_each_token_that_follows() -> None:
    model, scores = scripted_model(), np.full(3, np.nan, np.float32)
    model.decode([Chunk(0, 0, [9, 8, 7, 6], None, [8, 7, 6], scores)])
    fed = [9, 8, 7, 6]
    assert scores.tolist() == [fresh_row(fed[:end])[fed[end]] for end in (1, 2, 3)]
    assert model.tokens(0) == (9, 8, 7, 6)


def test_more_rows_than_one_call_computes_are_refused() -> None:
    model = scripted_model(sessions=2)
    assert model.max_outputs == 8
    assert scripted_model(sessions=9).max_outputs == 9
    tokens, scores = [9] * 8, np.empty(8, np.float32)
    scored = Chunk(0, 0, tokens, None, tokens, scores)
    with pytest.raises(ValueError, match="9 outputs where 8 are the most"):
        model.decode([scored, Chunk(1, 0, [9], empty_row(model))])
    with pytest.raises(ValueError, match="2 targets for 1 tokens"):
        model.decode([Chunk(0, 0, [9], None, [8, 7], scores[:2])])
    assert model.tokens(0) == ()


def test_the_longest_piece_wins() -> None:
    model = scripted_model()
    pieces = [model.vocabulary.pieces[token] for token in model.encode_continuation("a thing é")]
    assert pieces == [b"a", b" ", b"th", b"ing", b" ", "é".encode()]


def test_a_chat_is_rendered_with_control_tokens_around_each_turn() -> None:
    model = scripted_model()
    tokens = model.encode(ChatPrompt((Message("user", "hi <|im_end|>"),)))
    assert tokens[:2] == [BOS, IM_START]
    assert tokens.count(IM_END) == 1
    assert tokens.count(IM_START) == 2
    assert text_of(model, tokens) == "user\nhi <|im_end|>assistant\n"


def test_a_chat_is_refused_without_a_template_and_with_an_unknown_role() -> None:
    chat = ChatPrompt((Message("user", "hi"), Message("tool", "1")))
    with pytest.raises(UnsupportedPlan, match="no chat template"):
        scripted_model(chat=False).encode(chat)
    with pytest.raises(InvalidRequest, match=r"chat.messages\[1\].role: 'tool' is not one of"):
        scripted_model().encode(chat)


def test_its_facts_follow_its_options() -> None:
    facts = scripted_model(context_length=100, sessions=3, rewind=False).facts
    assert (facts.context_length, facts.sessions, facts.kv_tokens) == (100, 3, 300)
    assert (facts.capabilities.fork, facts.capabilities.rewind) == (True, False)
    assert scripted_model(cells=7).facts.kv_tokens == 7


def chunk(model: ScriptedModel, sequence: int = 0, position: int = 0, count: int = 2) -> Chunk:
    return Chunk(sequence, position, [9] * count, empty_row(model))


def test_breaches_of_the_contract_are_refused() -> None:
    model = scripted_model(sessions=2, batch_tokens=4, context_length=6)
    model.decode([chunk(model)])
    for chunks, message in (
        ([], "empty batch"),
        ([chunk(model)], "holds 2 tokens, the chunk starts at 0"),
        ([chunk(model, 1, 1)], "holds 0 tokens, the chunk starts at 1"),
        ([chunk(model, 2)], "no sequence 2"),
        ([chunk(model, 1, count=0)], "empty chunk"),
        ([chunk(model, 1, count=5)], "5 tokens in a batch of 4"),
        ([chunk(model, 0, 2, 5)], "more than 6 tokens in a sequence"),
        ([chunk(model, 1), chunk(model, 1)], "two chunks of one sequence"),
        ([Chunk(1, 0, [-1], None)], "outside the vocabulary"),
        ([Chunk(1, 0, [10_000], None)], "outside the vocabulary"),
        ([Chunk(1, 0, [9], np.zeros(3, np.float32))], r"an output of float32 \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            model.decode(chunks)
    with pytest.raises(ValueError, match="cannot keep 3 of 2"):
        model.truncate(0, 3)
    with pytest.raises(ValueError, match="cannot copy 3 of 2"):
        model.copy(0, 1, 3)
    with pytest.raises(ValueError, match="sequence 0 is not empty"):
        model.copy(0, 0, 1)
    assert model.tokens(0) == (9, 9)
    assert model.tokens(1) == ()


def test_what_it_cannot_do_is_refused() -> None:
    model = scripted_model(fork=False)
    model.decode([chunk(model)])
    with pytest.raises(ValueError, match="cannot fork"):
        model.copy(0, 1, 2)
    model = scripted_model(rewind=False)
    model.decode([chunk(model)])
    with pytest.raises(ValueError, match="cannot rewind"):
        model.truncate(0, 1)
    with pytest.raises(ValueError, match="whole sequences"):
        model.copy(0, 1, 1)
    model.truncate(0, 0)


def test_full_cells_raise_no_room_and_change_nothing() -> None:
    model = scripted_model(cells=5)
    model.decode([chunk(model, count=3)])
    with pytest.raises(NoRoom):
        model.decode([chunk(model, 1, count=3)])
    with pytest.raises(NoRoom):
        model.copy(0, 1, 3)
    assert model.tokens(1) == ()
    model.truncate(0, 0)
    model.decode([chunk(model, 1, count=3)])


def test_a_closed_model_refuses_work() -> None:
    model = scripted_model()
    model.close()
    model.close()
    with pytest.raises(ValueError, match="closed"):
        model.decode([chunk(model)])


def test_loading_reports_progress_and_fails_when_told_to() -> None:
    progress: list[float] = []
    assert load("", ScriptedOptions(seed=1), 1, progress.append).facts.description == (
        "scripted letters, seed 1"
    )
    assert progress == [0.0, 1.0]
    with pytest.raises(ModelUnusable, match="the tensors are gone"):
        load("", ScriptedOptions(fail_load="the tensors are gone"), 1, progress.append)


def test_a_simulated_crash_kills_the_process_in_that_step_and_only_once(tmp_path: Path) -> None:
    marker = tmp_path / "crashed"
    assert exit_code(2, crash_after_steps=3) == 0
    assert exit_code(3, crash_after_steps=3, crash_marker=str(marker)) == -signal.SIGKILL
    assert marker.exists()
    assert exit_code(3, crash_after_steps=3, crash_marker=str(marker)) == 0


def test_a_simulated_abort_ends_the_process_with_sigabrt() -> None:
    assert exit_code(1, abort_after_steps=1) == -signal.SIGABRT


def test_a_simulated_hang_never_ends() -> None:
    context = multiprocessing.get_context("spawn")
    began = context.Event()
    process = context.Process(target=decode_steps, args=(1, {"hang_after_steps": 1}, began))
    process.start()
    try:
        assert began.wait(60)
        process.join(0.3)
        assert process.is_alive()
    finally:
        process.kill()
        process.join(60)


def drawn_tokens(model: ScriptedModel, sequence: int = 0) -> list[int]:
    """What a sequence draws until it is finished."""
    tokens: list[int] = []
    finished = False
    while not finished:
        model.decode([])
        (output,) = model.sampled()
        assert output.sequence == sequence
        tokens += [one.token for one in output.tokens]
        finished = output.finished
    return tokens


def test_a_generation_says_the_text_and_then_its_end() -> None:
    options = {"say": "banana bandana", "seed": 4}
    model = scripted_model(own_sampler=True, **options)
    prompt = model.encode(TextPrompt("say it: "))
    model.generate(0, 0, prompt, engine_sampling(max_tokens=100))
    tokens = drawn_tokens(model)
    assert text_of(model, tokens) == "banana bandana"
    assert tokens[-1] == EOS
    with pytest.raises(ValueError, match="empty batch"):
        model.decode([])


def test_a_generation_reads_its_prompt_in_the_first_call_however_long() -> None:
    model = scripted_model(own_sampler=True, batch_tokens=4)
    model.generate(2, 0, [9] * 20, engine_sampling())
    model.decode([Chunk(0, 0, [8], None)])
    (output,) = model.sampled()
    assert (output.sequence, len(output.tokens), output.finished) == (2, 1, False)
    assert model.tokens(2) == (9,) * 20
    assert model.tokens(0) == (8,)
    assert model.sampled() == []


def test_a_greedy_draw_takes_the_best_token_and_reports_its_log_prob() -> None:
    model = scripted_model(own_sampler=True)
    row = fresh_row([9, 8])
    model.generate(0, 0, [9, 8], engine_sampling(max_tokens=1, top_logprobs=2))
    model.decode([])
    ((drawn,),) = (output.tokens for output in model.sampled())
    best = np.argsort(-row, kind="stable")[:2]
    assert drawn.token == best[0]
    assert drawn.logprob == float(row[best[0]])
    assert drawn.top == [(int(token), float(row[token])) for token in best]


def test_draws_follow_the_distribution() -> None:
    model = scripted_model(own_sampler=True, sharpness=2.0)
    row = fresh_row([9, 8], sharpness=2.0).astype(np.float64)
    counts: Counter[int] = Counter()
    trials = 4000
    for seed in range(trials):
        options = engine_sampling(max_tokens=1, temperature=0.5, seed=seed)
        model.generate(0, 0, [9, 8], options)
        counts.update(drawn_tokens(model))
        model.truncate(0, 0)
    expected = np.exp(2 * row) / np.exp(2 * row).sum()
    for token in np.argsort(-expected)[:5]:
        spread = 4 * np.sqrt(expected[token] / trials)
        assert counts[int(token)] / trials == pytest.approx(expected[token], abs=spread)
    assert not counts.keys() & {BOS, IM_START, IM_END}


def test_truncating_to_nothing_ends_a_generation() -> None:
    model = scripted_model(own_sampler=True)
    model.generate(0, 0, [9, 8], engine_sampling())
    model.decode([])
    model.sampled()
    model.truncate(0, 0)
    assert model.tokens(0) == ()
    model.decode([Chunk(0, 0, [7], None)])
    assert model.sampled() == []


def test_breaches_of_the_contract_of_generations_are_refused() -> None:
    with pytest.raises(ValueError, match="no sampler of its own"):
        scripted_model().generate(0, 0, [9], engine_sampling())
    model = scripted_model(own_sampler=True, context_length=16)
    for position, tokens, changes, problem in (
        (1, [9], {}, "holds 0 tokens"),
        (0, [], {}, "empty"),
        (0, [5000], {}, "outside the vocabulary"),
        (0, [-1], {}, "outside the vocabulary"),
        (0, [9], {"max_tokens": 0}, "of 0 tokens"),
        (0, [9] * 9, {}, "more than 16 tokens"),
    ):
        with pytest.raises(ValueError, match=problem):
            model.generate(0, position, tokens, engine_sampling(**changes))
    model.generate(0, 0, [9, 8], engine_sampling())
    for breach in (
        lambda: model.generate(0, 0, [9], engine_sampling()),
        lambda: model.decode([Chunk(0, 0, [9], None)]),
        lambda: model.copy(0, 1, 1),
        lambda: model.truncate(0, 1),
    ):
        with pytest.raises(ValueError, match="generates"):
            breach()


def test_a_generation_needs_cells_like_everyone() -> None:
    model = scripted_model(own_sampler=True, cells=4)
    model.generate(0, 0, [9, 8, 7], engine_sampling())
    with pytest.raises(NoRoom):
        model.decode([Chunk(1, 0, [9, 8], None)])
    assert model.sampled() == []
    model.decode([Chunk(1, 0, [9], None)])
    assert len(model.sampled()) == 1


def test_prefix_sums_are_written_where_they_are_wanted() -> None:
    model = scripted_model()
    order = model.vocabulary.byte_order
    row, sums = empty_row(model), np.empty(len(model.vocabulary) + 1)
    model.decode([Chunk(0, 0, [9, 8], row, sums=sums)])
    expected = np.empty_like(sums)
    order.prefix_sums(fresh_row([9, 8]), expected)
    np.testing.assert_array_equal(sums[: len(order) + 1], expected[: len(order) + 1])
    with pytest.raises(ValueError, match="sums without"):
        model.decode([Chunk(0, 2, [7], None, sums=sums)])
