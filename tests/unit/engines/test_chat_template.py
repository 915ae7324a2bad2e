from __future__ import annotations

import pytest

from quorate.engines.chat import ChatEncoder, ChatTemplate, SpecialToken, partition
from quorate.errors import InvalidRequest, PromptTooLong, UnsupportedPlan
from quorate.request import Message

SPECIALS = (
    SpecialToken(1, "<s>"),
    SpecialToken(2, "<|user|>"),
    SpecialToken(3, "<|end|>", strips_right=True),
    SpecialToken(4, "<|endoftext|>"),
)
TEMPLATE = (
    "{% for m in messages %}\n"
    "{{ '<|' + m.role + '|>' }}{{ m.content | trim }}<|end|>\n"
    "{% endfor %}\n"
    "{% if add_generation_prompt %}go{% endif %}"
)


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, "tiny")


def render(source: str, *contents: str) -> str:
    return template(source).render([Message("user", content) for content in contents])


def encode(
    source: str, *messages: Message, bos: int | None = None, max_characters: int = 1000
) -> list[int | str]:
    """Tokens of a tokenizer in which every character is a token, shown as ids and text."""
    encoder = ChatEncoder(
        template(source), SPECIALS, lambda run: [1000 + ord(c) for c in run], bos, max_characters
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


def test_blocks_are_trimmed_as_hugging_face_trims_them():
    assert render("  {% if true %}\nyes\n  {% endif %}\n{{ bos_token }}{{ eos_token }}") == (
        "yes\n<s></s>"
    )


def test_loop_controls_and_generation_blocks_are_known():
    source = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}"
    assert render(source + "{% break %}{% endfor %}", "a", "b") == "a"


def test_tojson_escapes_neither_html_nor_unicode():
    assert render("{{ messages[0].content | tojson }}", "<é>") == '"<é>"'


def test_the_current_time_is_at_hand():
    assert len(render("{{ strftime_now('%Y-%m-%d') }}")) == 10


def test_a_refusal_of_the_template_names_its_reason():
    with pytest.raises(InvalidRequest, match=r"chat: .*refuses it: only system first") as caught:
        render("{{ raise_exception('only system\nfirst') }}")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("source", ["{{ 1 / 0 }}", "{{ missing.field }}", "{{ messages.x() }}"])
def test_an_error_in_the_template_is_one_line(source):
    with pytest.raises(InvalidRequest) as caught:
        render(source)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "source", ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}"]
)
def test_the_sandbox_refuses_the_interpreters_insides(source):
    with pytest.raises(InvalidRequest, match="unsafe"):
        render(source)


def test_a_template_that_cannot_be_compiled_is_the_models_fault():
    with pytest.raises(UnsupportedPlan, match="tiny: its chat template cannot be compiled"):
        template("{% if %}")


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


def test_the_longest_special_wins_and_white_space_goes_where_a_special_says_so():
    specials = (SpecialToken(7, "<ab>c", strips_left=True), SpecialToken(8, "<ab>"))
    assert partition("x <ab>c y <ab>", specials) == ["x", 7, " y ", 8]


def test_a_template_that_makes_more_than_the_context_holds_is_refused_before_tokenising():
    source = "{% for _ in range(101) %}x{% endfor %}"
    assert encode(source, max_characters=101) == ["x" * 101]
    problem = r"chat: .* makes 101 characters of it; 100 is the most"
    with pytest.raises(PromptTooLong, match=problem):
        encode(source, max_characters=100)


def test_a_refusal_is_short_and_can_be_sent_whatever_the_template_writes():
    with pytest.raises(InvalidRequest) as caught:
        render("{{ raise_exception(messages[0].content * 1000) }}", "no\ud800!")
    assert len(caught.value.message) < 400
    assert caught.value.message.encode().endswith("…".encode())
