from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quorate.request import ChatPrompt, Message, TextPrompt

TEXT = TextPrompt("é\nx")
CHAT = ChatPrompt((Message("system", "be brief"), Message("user", "é?")))


def test_what_was_written_is_told_without_roles() -> None:
    assert TEXT.texts == ("é\nx",)
    assert CHAT.texts == ("be brief", "é?")


@given(st.lists(st.text("ab\n", max_size=5), min_size=1, max_size=5), st.integers(1, 20))
def test_its_beginning_and_its_ending_are_those_of_all_it_says(
    texts: list[str], count: int
) -> None:
    chat = ChatPrompt(tuple(Message("user", text) for text in texts))
    whole = "\n".join(texts)
    assert chat.beginning(count) == whole[:count]
    assert chat.ending(count) == whole[-count:]


def test_a_size_is_in_bytes_and_knows_half_a_surrogate_pair() -> None:
    assert TEXT.size_bytes == 4
    assert CHAT.size_bytes == len("be brief") + 3
    assert TextPrompt("\ud800").size_bytes == 3


def test_prompts_that_differ_have_other_canonical_texts() -> None:
    assert TEXT.canonical_text == "é\nx"
    assert CHAT.canonical_text == '[["system", "be brief"], ["user", "é?"]]'


def test_no_tokenizer_makes_more_tokens_than_bytes_roles_and_templates_have() -> None:
    assert TEXT.token_bound == 4 + 64
    assert CHAT.token_bound == CHAT.size_bytes + len("system" + "user") + 2 * 8 + 64
