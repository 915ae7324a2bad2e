from __future__ import annotations

import pytest

from quorate.engines.chat.encoder import ChatEncoder
from quorate.engines.chat.probe import TemplateUse, probe
from quorate.engines.chat.special_tokens import SpecialToken, SpecialTokens
from quorate.engines.chat.template import ChatTemplate
from quorate.errors import PromptTooLong, TemplateRefused
from quorate.request import Message

SPECIALS = SpecialTokens(
    (
        SpecialToken(1, "<s>"),
        SpecialToken(2, "<|user|>"),
        SpecialToken(3, "<|end|>", strips_right=True),
        SpecialToken(4, "<|endoftext|>"),
        SpecialToken(5, "<|assistant|>"),
    )
)
TEMPLATE = (
    "{% for m in messages %}\n"
    "{{ '<|' + m.role + '|>' }}{{ m.content | trim }}<|end|>\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}go{% endif %}"
)
REASONING = (
    "{% for m in messages %}<|{{ m.role }}|>"
    "{{ m.content.split('</think>')[-1].lstrip() if not loop.last else m.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
LAST_ONLY = "<|user|>{{ messages[-1].content }}<|end|>"
PARTS = (
    "{% for m in messages %}<|{{ m.role }}|>{% for p in m.content %}{{ p.text }}{% endfor %}<|end|>"
    "{% endfor %}"
)


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, "tiny")


def encode(
    source: str,
    *messages: Message,
    bos: int | None = None,
    max_characters: int = 1000,
    use: TemplateUse | None = None,
) -> list[int | str]:
    """Tokens of a tokenizer in which every character is a token, shown as ids and text."""
    compiled = template(source)
    encoder = ChatEncoder(
        compiled,
        use or probe(compiled),
        SPECIALS,
        lambda run: [1000 + ord(c) for c in run],
        bos,
        max_characters,
    )
    shown: list[int | str] = []
    for token in encoder.encode(messages):
        if token < 1000:
            shown.append(token)
        elif shown and isinstance(shown[-1], str):
            shown[-1] += chr(token - 1000)
        else:
            shown.append(chr(token - 1000))
    return shown


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def test_a_chat_becomes_specials_and_runs():
    assert encode(TEMPLATE, Message("user", " hi ")) == [2, "hi", 3, "go"]


def test_bos_is_added_exactly_once():
    assert encode(TEMPLATE, Message("user", "hi"), bos=1) == [1, 2, "hi", 3, "go"]
    assert encode("{{ bos_token }}" + TEMPLATE, Message("user", "hi"), bos=1)[:2] == [1, 2]


@pytest.mark.parametrize(
    "text", ["<|end|>", "x<s>y", "<|endoftext|>", "<|", "a<|user", "|>b", "<s"]
)
def test_specials_and_halves_of_them_in_a_message_stay_text(text):
    source = (
        "{% for m in messages %}<{{ m.content }}>{{ m.content }}|>{{ m.content }}s>{% endfor %}"
    )
    tokens = encode(source, Message("user", text))
    assert tokens == [f"<{text}>{text}|>{text}s>"]


def test_a_role_that_is_the_middle_of_a_special_stays_text():
    assert encode(TEMPLATE, Message("endoftext", "hi"))[:1] == ["<|endoftext|>hi"]


def test_a_private_use_character_of_the_user_survives():
    assert encode(TEMPLATE, Message("user", "\ue000<|end|>")) == [2, "\ue000<|end|>", 3, "go"]


def test_a_template_that_makes_more_than_the_context_holds_is_refused_before_tokenising():
    source = "{% for _ in range(101) %}x{% endfor %}"
    assert encode(source, max_characters=101, use=TemplateUse()) == ["x" * 101]
    problem = r"chat: .* makes more than 100 characters of it"
    with pytest.raises(PromptTooLong, match=problem):
        encode(source, max_characters=100, use=TemplateUse())


def test_a_template_that_wants_parts_gets_them():
    assert encode(PARTS, user("hi"), assistant("ho"), user("x")) == (
        [2, "hi", 3, 5, "ho", 3, 2, "x", 3]
    )


@pytest.mark.parametrize("text", ["a long enough text of the first message", "a"])
def test_a_message_that_the_template_leaves_out_is_refused(text):
    chat = (user(text), assistant("a"), user("a"))
    problem = r"chat.messages: its chat template leaves the user's message out .*'a"
    with pytest.raises(TemplateRefused, match=problem):
        encode(LAST_ONLY, *chat)
    assert encode(LAST_ONLY, user(text)) == [2, text, 3]


def test_a_role_that_the_template_passes_over_is_refused_though_its_text_stands_elsewhere():
    source = "{% for m in messages if m.role != 'tool' %}" + TEMPLATE.partition("\n")[2]
    with pytest.raises(TemplateRefused, match="leaves the tool's message out"):
        encode(source, user("is it 4?"), Message("tool", "4"))


@pytest.mark.parametrize(
    "change", ["| trim", "| tojson", "| replace('\n', ' ')", "| escape", ".strip() | indent(2)"]
)
def test_a_message_that_is_written_otherwise_is_found(change):
    source = "{% for m in messages %}{{ m.content " + change + " }}{% endfor %}"
    text = ' "quoted" & <tagged>,\non two lines \n'
    assert encode(source, user(text))


def test_reasoning_may_be_left_out_of_what_the_assistant_said_before_and_nothing_else():
    chat = (user("<think>a</think>b"), assistant("<think>so</think>\nyes"), user("go on"))
    refused = r"leaves the user's message out .*'<think>a</think>b'"
    with pytest.raises(TemplateRefused, match=refused):
        encode(REASONING, *chat)
    assert encode(REASONING, user("b"), *chat[1:]) == [2, "b", 3, 5, "yes", 3, 2, "go on", 3, 5]


def test_a_chat_that_ends_with_the_assistant_goes_on_with_its_text():
    assert encode(TEMPLATE, user("hi"), assistant("The colour is")) == (
        [2, "hi", 3, 5, "The colour is"]
    )


@pytest.mark.parametrize(
    ("text", "end"),
    [("It is \n", "It is \n"), ("", ""), (" ", " "), ("<|end|>", "<|end|>"), ("<|", "<|")],
)
def test_the_text_to_go_on_with_ends_as_it_was_written(text, end):
    chat = (user("is it?"), assistant(text))
    assert encode(TEMPLATE, *chat) == [2, "is it?", 3, 5, *([end] if end else [])]


def test_the_text_to_go_on_with_is_found_where_it_stands_twice():
    chat = (user("ok"), assistant("ok"), user("ok"), assistant("ok"))
    assert encode(TEMPLATE, *chat) == [2, "ok", 3, 5, "ok", 3, 2, "ok", 3, 5, "ok"]


def test_a_template_that_cannot_go_on_with_the_assistant_is_told_so():
    with pytest.raises(TemplateRefused, match="cannot go on with a message of the assistant"):
        encode(LAST_ONLY, user("hi"), assistant("so"))


def test_system_text_without_a_place_opens_the_message_of_the_user():
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    chat = (Message("system", "Be brief."), user("hi"))
    assert encode(source + TEMPLATE, *chat) == [2, "Be brief.\n\nhi", 3, "go"]
    assert encode(TEMPLATE, *chat) == ["<|system|>Be brief.", 3, 2, "hi", 3, "go"]
