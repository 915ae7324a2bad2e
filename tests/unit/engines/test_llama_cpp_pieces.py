"""Text in pieces has the tokens of the whole, whatever the tokenizer."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quorate.engines.encoding_budget import EncodingBudget, spending
from quorate.engines.llama_cpp.loading import load_vocabulary
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.llama_cpp.tokenizer import Tokenizer
from quorate.errors import InvalidRequest, PromptTooLong
from support.gguf_files import smollm2, stories260k
from support.gguf_variants import PRE_TOKENIZERS, with_pre_tokenizer

FRAGMENTS = (
    *("the", "Once", "upon", "a", "tiME", "don't", "I'LL", "x1", "12345", "3.14", "naïve", "ÅB"),
    *("e\u0301", "\u4f60\u597d", "\u3001", "\u3002", "\uff0c", "ですか", "привет", "\U0001f600"),
    *(" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", ",", ";", ":", "(", ")", ".", "!", "'", '"'),
    *("<|im_start|>", "\u2581", "def f(x):\n    return x\n", "https://a.b/c?d=e", "\u0915\u094d"),
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=60).map("".join)


@pytest.fixture(scope="module", params=["sentencepiece", "smollm", *PRE_TOKENIZERS])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("model")
    if request.param == "sentencepiece":
        path = stories260k()
    elif request.param == "smollm":
        path = smollm2()
    else:
        path = with_pre_tokenizer(smollm2(), folder, request.param)
    made = Tokenizer(load_vocabulary(str(path), LlamaCppOptions()))
    made.piece_characters = 24
    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS)
def test_pieces_have_the_tokens_of_the_whole(tokenizer: Tokenizer, text: str) -> None:
    assert tokenizer.encode_run(text) == tokenizer._tokens(text)
    behind = tokenizer._tokens_behind(text)
    if behind is not None:
        assert tokenizer.encode_continuation(text) == behind


def test_a_text_is_not_read_further_than_the_context_reaches(tokenizer: Tokenizer) -> None:
    calls = 0
    native = tokenizer._tokens

    def counted(text: str) -> list[int]:
        nonlocal calls
        calls += 1
        return native(text)

    tokenizer._tokens = counted  # type: ignore[method-assign]
    try:
        with (
            spending(EncodingBudget("prompt", 20, 1e9)),
            pytest.raises(PromptTooLong, match="the context holds 20 with the answer"),
        ):
            tokenizer.encode_run("the cat sat on a mat " * 1000)
    finally:
        del tokenizer._tokens
    assert 1 < calls < 30


def test_a_run_that_no_stack_could_hold_is_refused() -> None:
    tokenizer = Tokenizer(load_vocabulary(str(smollm2()), LlamaCppOptions()))
    with pytest.raises(InvalidRequest, match=r"^prompt: has 1000001 characters without a place"):
        tokenizer.encode_run(" " * 1_000_001)
