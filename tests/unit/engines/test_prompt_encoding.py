from __future__ import annotations

import pytest

from quorate.engines.chat.special_tokens import SpecialToken
from quorate.engines.prompt_encoding import PromptEncoder
from quorate.engines.prompt_sizes import check_prompt
from quorate.engines.vocabulary import Vocabulary
from quorate.errors import PromptTooLong, TemplateRefused, UnsupportedPlan
from quorate.request import ChatPrompt, Message, TextPrompt

BOS, USER, END, FIRST_LETTER = 0, 1, 2, 3
LETTERS = "abcdefghijklmnopqrstuvwxyz ?"
PIECES = (b"", b"", b"", *(letter.encode() for letter in LETTERS), b"abc")
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<user>{{ m.content }}<end>{% endfor %}"
    "{% if not add_generation_prompt %}never{% endif %}"
)
CONTEXT = 8
# Eight tokens of at most three bytes.
MAX_CHARACTERS = 24


class LetterTokenizer:
    """Every letter is a token; three tokens are special."""

    def __init__(self, bos: int | None = BOS, pieces: tuple[bytes, ...] = PIECES) -> None:
        self.bos = bos
        control = frozenset(token for token, piece in enumerate(pieces) if not piece)
        self.vocabulary = Vocabulary(pieces, control, frozenset({END}), bos)
        self.special_tokens = (
            SpecialToken(BOS, "<bos>"),
            SpecialToken(USER, "<user>"),
            SpecialToken(END, "<end>"),
        )
        self.special_texts = {"bos_token": "<bos>"}

    def encode_text(self, text: str) -> list[int]:
        return ([] if self.bos is None else [self.bos]) + self.encode_run(text)

    def encode_run(self, text: str) -> list[int]:
        return [FIRST_LETTER + max(LETTERS.find(letter), 0) for letter in text]

    def encode_continuation(self, text: str) -> list[int]:
        return self.encode_run(text)[::-1]


def encoder(tokenizer: LetterTokenizer | None = None, template: str | None = TEMPLATE):
    return PromptEncoder(tokenizer or LetterTokenizer(), template, "tiny", CONTEXT)


def chat(*contents: str) -> ChatPrompt:
    return ChatPrompt(tuple(Message("user", content) for content in contents))


def test_a_text_prompt_is_what_the_tokenizer_makes_of_a_prompt():
    assert encoder().encode(TextPrompt("abc")) == [BOS, 3, 4, 5]
    assert encoder(LetterTokenizer(bos=None)).encode(TextPrompt("abc")) == [3, 4, 5]


def test_a_continuation_is_what_the_tokenizer_makes_of_one():
    assert encoder().encode_continuation("abc") == [5, 4, 3]


def test_a_chat_is_rendered_and_its_special_tokens_are_found():
    assert encoder().encode(chat("ab", "c")) == [BOS, USER, 3, 4, END, USER, 5, END]


def test_a_template_that_writes_no_bos_gets_the_one_that_the_model_wants():
    template = TEMPLATE.removeprefix("{{ bos_token }}")
    assert encoder(template=template).encode(chat("a")) == [BOS, USER, 3, END]
    without = encoder(LetterTokenizer(bos=None), template)
    assert without.encode(chat("a")) == [USER, 3, END]


def test_special_tokens_that_a_user_writes_stay_text():
    tokens = encoder().encode(chat("a<end>b"))
    assert tokens[:2] == [BOS, USER]
    assert tokens[-1] == END
    assert not {BOS, USER, END}.intersection(tokens[2:-1])
    assert len(tokens[2:-1]) == len("a<end>b")


def test_a_model_without_a_template_refuses_chats_and_takes_text():
    without = encoder(template=None)
    with pytest.raises(UnsupportedPlan, match=r"^tiny: .*no chat template; send a text prompt"):
        without.encode(chat("a"))
    assert without.encode(TextPrompt("a")) == [BOS, 3]


def test_a_broken_template_is_named_when_a_chat_comes():
    broken = encoder(template="{% if %}")
    assert broken.encode(TextPrompt("a")) == [BOS, 3]
    with pytest.raises(UnsupportedPlan, match=r"^tiny: .*cannot be compiled"):
        broken.encode(chat("a"))


def test_a_refusal_of_the_template_is_the_request_s_fault():
    template = "{{ raise_exception('only one message') if messages | length > 1 }}" + TEMPLATE
    with pytest.raises(TemplateRefused, match=r"chat: .*only one message"):
        encoder(template=template).encode(chat("a", "b"))


def test_a_model_that_knows_no_bytes_refuses_everything():
    opaque = encoder(LetterTokenizer(pieces=(b"",) * 8))
    for call in (
        lambda: opaque.encode(TextPrompt("a")),
        lambda: opaque.encode(chat("a")),
        lambda: opaque.encode_continuation("a"),
    ):
        with pytest.raises(UnsupportedPlan, match=r"^tiny: .*no tokenizer"):
            call()


def test_the_longest_text_that_could_fit_is_tokenised():
    fitting = "a" * MAX_CHARACTERS
    assert len(encoder().encode(TextPrompt(fitting))) == MAX_CHARACTERS + 1
    assert len(encoder().encode_continuation(fitting)) == MAX_CHARACTERS


def test_a_text_that_cannot_fit_is_refused_before_it_is_tokenised():
    class Untouched(LetterTokenizer):
        def encode_run(self, text: str) -> list[int]:
            raise AssertionError("a text that cannot fit was tokenised")

    untouched = encoder(Untouched())
    long = "a" * (MAX_CHARACTERS + 1)
    message = r"{}: 25 bytes cannot fit the 8 tokens of the context; 24 is the most"
    for field, call in (
        ("prompt", lambda: untouched.encode(TextPrompt(long))),
        # Roles count: with its two of four bytes it is too long.
        ("chat", lambda: untouched.encode(chat(long[:8], long[:9]))),
        ("continuation", lambda: untouched.encode_continuation(long)),
    ):
        with pytest.raises(PromptTooLong, match=message.format(field)) as caught:
            call()
        assert caught.value.field == field


def test_a_chat_has_no_more_messages_than_the_context_has_tokens():
    most = r"^chat: 9 messages cannot fit the 8 tokens of the context.*leave the oldest out"
    with pytest.raises(PromptTooLong, match=most):
        encoder().encode(ChatPrompt((Message("u", ""),) * (CONTEXT + 1)))
    check_prompt(ChatPrompt((Message("u", ""),) * CONTEXT), LetterTokenizer().vocabulary, CONTEXT)


def test_a_text_is_measured_in_bytes():
    with pytest.raises(PromptTooLong, match=r"26 bytes cannot fit"):
        encoder().encode(TextPrompt("é" * 13))


def test_a_template_that_makes_too_much_of_a_chat_is_refused():
    # What fits is 24 characters of text and eight times the longest special token.
    template = "{{ messages[0].content }}{{ 'a' * %d }}"
    assert len(encoder(template=template % 71).encode(chat("a"))) == 73
    with pytest.raises(PromptTooLong, match="makes more than 72 characters of it"):
        encoder(template=template % 72).encode(chat("a"))


def test_what_a_template_can_do_is_known_at_once():
    assert encoder().can_chat
    assert not encoder().template_facts.problem
    assert not encoder(template=None).can_chat
    broken = encoder(template="{% if %}")
    assert not broken.can_chat
    assert "cannot be compiled" in broken.template_facts.problem
    hanging = encoder(template="{{ 'a' * 9999999999 }}")
    assert not hanging.can_chat
    with pytest.raises(UnsupportedPlan, match=r"was stopped: .*; send a text prompt"):
        hanging.encode(chat("a"))


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("<user>ab<end>", [BOS, USER, 3, 4, END]),
        ("ab<end>c", [BOS, 3, 4, END, 5]),
        ("<bos><user>a", [BOS, USER, 3]),
        ("<bos>", [BOS]),
        ("", [BOS]),
        ("abc", [BOS, 3, 4, 5]),
    ],
)
def test_special_tokens_of_a_prompt_are_special_where_that_is_asked_for(text, tokens):
    assert encoder().encode(TextPrompt(text, parse_special=True)) == tokens
    wanted = tokens if tokens[0] != BOS else tokens[1:]
    without = encoder(LetterTokenizer(bos=None))
    if not text.startswith("<bos>"):
        assert without.encode(TextPrompt(text, parse_special=True)) == wanted


def test_special_tokens_of_a_prompt_stay_text_where_nobody_asks():
    assert not {USER, END} & set(encoder().encode(TextPrompt("<user>ab<end>")))
