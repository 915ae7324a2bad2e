from __future__ import annotations

import math
import os

import numpy as np
import pytest

from quorate.engines.scheduler.contract import Chunk, NoRoom
from quorate.engines.worker.affinity import pin_all_threads
from quorate.errors import PromptTooLong, UnsupportedPlan
from quorate.request import ChatPrompt, Message, TextPrompt
from support.gguf_files import STORIES_GREEDY, loaded, smollm2, stories260k
from support.tiny_gguf import tiny_model

PROMPTS = ("The capital of France is", "def add(a, b):\n    return", "Once upon a time")


@pytest.fixture(scope="module")
def smol():
    with loaded(smollm2(), 2, sessions=4, cells=1024, batch_tokens=128) as model:
        yield model


@pytest.fixture(scope="module")
def stories():
    with loaded(stories260k(), sessions=2, batch_tokens=64) as model:
        yield model


@pytest.fixture
def model(smol):
    yield smol
    for sequence in range(smol.facts.sessions):
        smol.truncate(sequence, 0)


def row(model) -> np.ndarray:
    return np.full(len(model.vocabulary), math.nan, np.float32)


def feed(model, sequence: int, position: int, tokens) -> np.ndarray:
    output = row(model)
    model.decode([Chunk(sequence, position, tokens, output)])
    return output


# Weights of 4 bits: see the contract suite.
SCORE_TOLERANCE = 0.6


def assert_close(actual: np.ndarray, expected: np.ndarray) -> None:
    top = np.argsort(expected)[-10:]
    np.testing.assert_allclose(actual[top], expected[top], atol=1e-2)


def test_stories260k_reproduces_its_published_greedy_text(stories):
    tokens = stories.encode(TextPrompt("Once upon a time"))
    pieces = stories.vocabulary.pieces
    text = b"".join(pieces[token] for token in tokens)
    position, fed = 0, tokens
    # SentencePiece writes a space before the first word.
    wanted = b" " + STORIES_GREEDY.encode()
    while len(text) < len(wanted):
        chosen = int(feed(stories, 0, position, fed).argmax())
        position, fed = position + len(fed), [chosen]
        text += pieces[chosen]
    stories.truncate(0, 0)
    assert text == wanted


def test_a_row_is_a_distribution_over_the_vocabulary(model):
    output = feed(model, 0, 0, model.encode(TextPrompt(PROMPTS[0])))
    assert output.shape == (49152,)
    assert np.exp(output.astype(np.float64)).sum() == pytest.approx(1.0, abs=1e-6)
    assert model.vocabulary.pieces[int(output.argmax())] == b" Paris"


def test_a_batch_gives_what_each_sequence_alone_gives(model):
    prompts = [model.encode(TextPrompt(text)) for text in PROMPTS]
    alone = []
    for tokens in prompts:
        alone.append(feed(model, 0, 0, tokens))
        model.truncate(0, 0)
    outputs = [row(model) for _ in prompts]
    model.decode([Chunk(index, 0, tokens, outputs[index]) for index, tokens in enumerate(prompts)])
    for output, expected in zip(outputs, alone, strict=True):
        assert_close(output, expected)


def test_a_prompt_in_chunks_gives_what_it_gives_whole(model):
    tokens = model.encode(TextPrompt("One two three four five six seven eight nine ten eleven"))
    whole = feed(model, 0, 0, tokens)
    model.decode([Chunk(1, 0, tokens[:4], None)])
    model.decode([Chunk(1, 4, tokens[4:7], None)])
    assert_close(feed(model, 1, 7, tokens[7:]), whole)


def test_a_row_that_is_not_wanted_is_not_written_while_another_is(model):
    tokens = model.encode(TextPrompt(PROMPTS[2]))
    expected = feed(model, 0, 0, tokens)
    model.truncate(0, 0)
    output = row(model)
    model.decode([Chunk(0, 0, tokens, None), Chunk(1, 0, tokens, output)])
    assert_close(output, expected)


def test_a_copy_continues_like_a_fresh_prefill(model):
    tokens = model.encode(TextPrompt("The quick brown fox jumps over the lazy dog and"))
    other = model.encode_continuation(" cat")
    feed(model, 0, 0, tokens)
    model.copy(0, 1, 5)
    fresh = feed(model, 2, 0, tokens[:5] + other)
    assert_close(feed(model, 1, 5, other), fresh)


def test_a_copy_outlives_its_source(model):
    tokens = model.encode(TextPrompt(PROMPTS[2]))
    feed(model, 0, 0, tokens[:-1])
    model.copy(0, 1, len(tokens) - 1)
    model.truncate(0, 0)
    fresh = feed(model, 2, 0, tokens)
    assert_close(feed(model, 1, len(tokens) - 1, tokens[-1:]), fresh)


def test_a_truncated_sequence_continues_like_a_fresh_prefill(model):
    tokens = model.encode(TextPrompt("The quick brown fox jumps over the lazy dog"))
    feed(model, 0, 0, tokens)
    model.truncate(0, 4)
    fresh = feed(model, 1, 0, [*tokens[:4], 905])
    assert_close(feed(model, 0, 4, [905]), fresh)


def test_no_room_changes_nothing_and_passes_with_room(tmp_path):
    path = tiny_model(tmp_path / "tiny.gguf")
    with loaded(path, sessions=3, cells=256, batch_tokens=128) as model:
        tokens = model.encode(TextPrompt(PROMPTS[2]))
        expected = feed(model, 0, 0, tokens)
        filler = [7] * 128
        model.decode([Chunk(1, 0, filler, None)])
        with pytest.raises(NoRoom):
            model.decode([Chunk(2, 0, filler, None)])
        model.truncate(0, len(tokens) - 1)
        assert_close(feed(model, 0, len(tokens) - 1, tokens[-1:]), expected)
        model.truncate(1, 0)
        assert_close(feed(model, 2, 0, tokens), expected)


def test_a_scored_chunk_gives_what_feeding_step_by_step_gives(model):
    tokens = model.encode(TextPrompt("One two three four five six seven eight nine ten"))
    other = model.encode(TextPrompt(PROMPTS[0]))
    fed = [feed(model, 0, place, [token]) for place, token in enumerate(tokens)]
    expected = [row[token] for row, token in zip(fed, tokens[1:], strict=False)]
    alone = feed(model, 1, 0, other)
    model.truncate(1, 0)
    output, scores = row(model), np.full(len(tokens) - 1, math.nan, np.float32)
    model.decode([Chunk(1, 0, other, output), Chunk(2, 0, tokens, None, tokens[1:], scores)])
    np.testing.assert_allclose(scores, expected, atol=SCORE_TOLERANCE)
    assert_close(output, alone)


def test_as_many_rows_as_are_promised_come_out_of_one_call(stories):
    assert stories.max_outputs == 64
    text = stories.encode(TextPrompt(STORIES_GREEDY))[:65]
    scores = np.full(64, math.nan, np.float32)
    stories.decode([Chunk(0, 0, text[:64], None, text[1:], scores)])
    stories.truncate(0, 0)
    one_by_one = [feed(stories, 0, place, [token]) for place, token in enumerate(text)]
    stories.truncate(0, 0)
    expected = [row[token] for row, token in zip(one_by_one, text[1:], strict=False)]
    np.testing.assert_allclose(scores, expected, atol=1e-2)


@pytest.mark.parametrize(
    ("sessions", "batch_tokens", "most"), [(2, 128, 64), (2, 8, 8), (80, 128, 80), (12, 8, 12)]
)
def test_every_session_and_some_scored_tokens_have_rows(sessions, batch_tokens, most):
    with loaded(stories260k(), sessions=sessions, batch_tokens=batch_tokens) as model:
        chunks = [Chunk(number, 0, [1], row(model)) for number in range(min(sessions, most))]
        model.decode(chunks)
        assert all(np.isfinite(chunk.output.max()) for chunk in chunks)
        assert model.max_outputs == most


def test_more_tokens_than_a_batch_holds_are_refused(model):
    with pytest.raises(ValueError, match="129 tokens"):
        model.decode([Chunk(0, 0, [1] * 129, None)])


def test_the_number_of_threads_does_not_change_the_answer(model):
    tokens = model.encode(TextPrompt(PROMPTS[0]))
    two = feed(model, 0, 0, tokens)
    model.set_cores(1)
    one = feed(model, 1, 0, tokens)
    model.set_cores(2)
    assert_close(one, two)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processor cores")
def test_where_there_is_a_core_for_each_thread_each_has_its_own(model):
    every = os.sched_getaffinity(0)
    cores = set(sorted(every)[:2])
    # Threads of other tests stay where they are.
    before = {task: os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")}
    pin_all_threads(cores)
    try:
        model.set_cores(2)
        feed(model, 0, 0, model.encode(TextPrompt(PROMPTS[0])))
        places = [os.sched_getaffinity(int(task)) for task in os.listdir("/proc/self/task")]
        alone = [place for place in places if len(place) == 1]
        assert set(map(frozenset, alone)) == {frozenset({core}) for core in cores}

        # One thread on two cores goes where there is room.
        pin_all_threads(cores)
        model.set_cores(1)
        feed(model, 1, 0, model.encode(TextPrompt(PROMPTS[0])))
        assert os.sched_getaffinity(0) == cores
    finally:
        pin_all_threads(every)
        for task, place in before.items():
            os.sched_setaffinity(int(task), place)
        model.set_cores(2)


def test_a_chat_without_a_template_is_refused(stories):
    with pytest.raises(UnsupportedPlan, match="no chat template"):
        stories.encode(ChatPrompt((Message("user", "Hello"),)))


def test_text_that_no_context_holds_is_refused_before_it_is_tokenised(stories):
    with pytest.raises(PromptTooLong, match="prompt: 1000000 bytes"):
        stories.encode(TextPrompt("\n" * 1_000_000))
