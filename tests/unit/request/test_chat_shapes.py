from __future__ import annotations

import pytest

from quorate.request import ChatPrompt, ChatShape, Message, TextPrompt

ROLES = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}


def chat(roles: str) -> ChatPrompt:
    return ChatPrompt(tuple(Message(ROLES[role], f"{index}") for index, role in enumerate(roles)))


@pytest.mark.parametrize(
    ("roles", "shape"),
    [
        ("u", ChatShape()),
        ("su", ChatShape(system_first=True)),
        ("uasu", ChatShape(system_later=True)),
        ("ssu", ChatShape(system_first=True, system_later=True)),
        ("uu", ChatShape(repeats=True)),
        ("usu", ChatShape(system_later=True, repeats=True)),
        ("utu", ChatShape()),
        ("sau", ChatShape(system_first=True, assistant_first=True)),
        ("ua", ChatShape(continues=True)),
        ("uaa", ChatShape(repeats=True, continues=True)),
        ("s", ChatShape(system_first=True)),
    ],
)
def test_a_chat_says_what_it_asks_of_a_template(roles, shape):
    assert chat(roles).shape == shape


def test_a_chat_ends_within_text_where_the_assistant_has_begun_to_speak():
    assert chat("ua").ends_within_text
    assert not chat("u").ends_within_text
    begun = ChatPrompt((Message("user", "hi"), Message("assistant", "")))
    assert begun.shape.continues
    assert not begun.ends_within_text
    assert not ChatPrompt(()).ends_within_text


def test_a_chat_as_text_is_its_messages_divided_by_blank_lines():
    assert chat("u").as_text == TextPrompt("0")
    assert chat("sua").as_text == TextPrompt("0\n\n1\n\n2")
