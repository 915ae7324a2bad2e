from __future__ import annotations

import resource

import jinja2.defaults
import pytest

from quorate.engines.chat import bounds
from quorate.engines.chat.bounds import limited
from quorate.engines.chat.template import ChatTemplate
from quorate.errors import PromptTooLong, TemplateRefused, UnsupportedPlan
from quorate.request import Message


def template(source: str) -> ChatTemplate:
    return ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, "tiny")


def render(source: str, *contents: str, **options: object) -> str:
    messages = [Message("user", content) for content in contents]
    return template(source).render(messages, **options)


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
    with pytest.raises(
        TemplateRefused, match=r"chat: .*refuses these messages: only system first"
    ) as caught:
        render("{{ raise_exception('only system\nfirst') }}")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("source", ["{{ 1 / 0 }}", "{{ missing.field }}", "{{ messages.x() }}"])
def test_an_error_in_the_template_is_one_line(source):
    with pytest.raises(TemplateRefused) as caught:
        render(source)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "source", ["{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ messages.append(1) }}"]
)
def test_the_sandbox_refuses_the_interpreters_insides(source):
    with pytest.raises(TemplateRefused, match="unsafe"):
        render(source)


def test_a_template_that_cannot_be_compiled_is_the_models_fault():
    with pytest.raises(UnsupportedPlan, match="tiny: its chat template cannot be compiled"):
        template("{% if %}")


def test_a_refusal_is_short_and_can_be_sent_whatever_the_template_writes():
    with pytest.raises(TemplateRefused) as caught:
        render("{{ raise_exception(messages[0].content * 1000) }}", "no\ud800!")
    assert len(caught.value.message) < 400
    assert caught.value.message.encode().endswith("…".encode())


def test_content_is_a_list_of_parts_for_the_roles_that_want_it():
    source = "{% for m in messages %}{{ m.content if m.content is string else m.content[0].text }}"
    source += "{{ m.content is string }} {% endfor %}"
    chat = [Message("system", "a"), Message("user", "b")]
    assert template(source).render(chat, parts=frozenset({"user"})) == "aTrue bFalse "


def test_the_answer_is_opened_where_that_is_wanted():
    source = "{{ 'go' if add_generation_prompt else 'stop' }}"
    assert render(source) == "go"
    assert render(source, opens_answer=False) == "stop"


def test_a_template_that_makes_too_much_is_stopped_on_the_way():
    source = "{% for _ in range(101) %}x{% endfor %}"
    assert render(source, max_characters=101) == "x" * 101
    with pytest.raises(PromptTooLong, match="makes more than 100 characters of it"):
        render(source, max_characters=100)
    endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"
    with pytest.raises(PromptTooLong, match="more than 100"):
        render(endless, max_characters=100)


NESTED = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
FILTERED = "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}"
RECURSIVE = (
    "{% for a in [[]] recursive %}{{ loop([a, a]) if loop.depth0 < 99 else '' }}{% endfor %}"
)
MACRO = "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}"


@pytest.mark.parametrize("source", [NESTED, FILTERED, RECURSIVE, MACRO])
def test_a_template_that_does_not_end_is_stopped(source):
    with (
        pytest.raises(TemplateRefused, match="its chat template was stopped: it takes"),
        limited(0.05),
    ):
        render(source)


DOUBLED = (
    "{{% set t = namespace(x='aa') %}}"
    "{{% for _ in range(99) %}}{{% set t.x = t.x {} t.x %}}{{% endfor %}}"
)


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'a' * 9999999999 }}",
        "{{ 9999999999 * [1] }}",
        "{{ 9 ** 99999 }}",
        "{{ '%9999999999d' % 1 }}",
        "{{ '%*d' % (9999999999, 1) }}",
        "{{ '%9999999999d' | format(1) }}",
        "{{ 'a' | center(9999999999) }}",
        "{{ 'a' | indent(9999999999) }}",
        "{{ 'a'.ljust(9999999999) }}",
        DOUBLED.format("~"),
        DOUBLED.format("+"),
    ],
)
def test_a_value_of_any_size_is_not_made(source):
    with pytest.raises(TemplateRefused, match=r"its chat template was stopped: it .* too long a"):
        render(source)


def test_what_is_counted_computes_what_it_did():
    source = (
        "{{ 'a' * 3 }}{{ 3 * [1] }}{{ 2 ** 3 }}{{ '%03d' % 5 }}{{ 'b' ~ 1 ~ none ~ missing }}"
        "{{ [1] + [2] }}{{ 'c' + 'd' }}{{ '-'.join(['x', 'y']) }}{{ 'z' | center(3) }}|"
        "{% for a in [[1, 2], [3]] %}{{ loop.index }}{{ loop.last }}{{ loop.length }}"
        "{% for b in a if b > 1 %}{{ b }}{% else %}none{% endfor %}{% endfor %}"
        "{% macro m(x) %}<{{ x }}>{{ caller() if caller else '' }}{% endmacro %}"
        "{{ m(1) }}{% call m(2) %}in{% endcall %}"
    )
    assert render(source) == ("aaa[1, 1, 1]8005b1None[1, 2]cdx-y z |1False222True2" + "3<1><2>in")


def test_a_long_chat_of_many_turns_is_within_the_limits():
    source = "{% for m in messages %}{{ m.role + m.content ~ loop.index }}{% endfor %}"
    assert len(render(source, *["word " * 20] * 5000)) > 500_000


def test_a_template_of_any_length_is_not_compiled():
    with pytest.raises(UnsupportedPlan, match="cannot be compiled: it has more than"):
        template("x" * (1 << 20) + "x")


BOMBS = {
    "one call": "{% set x = 'x' * 4000000 %}{{ x.replace('x', x) }}",
    "one filter": "{% set x = 'x' * 4000000 %}{{ x | replace('x', x) }}",
    "a method by name": "{% set x = 'x' * 4000000 %}{{ x['join'](x) }}",
    "a join of what exists once": "{{ (('x' * 100000,) * 100000) | join }}",
    "values that add up": (
        "{% set ns = namespace(all=[]) %}{% for i in range(90000) %}"
        "{% set ns.all = ns.all + ['x' * 4000000 ~ i] %}{% endfor %}"
    ),
    "nested ranges": (
        "{% set ns = namespace(all=[]) %}{% for i in range(99999) %}"
        "{% set ns.all = ns.all + [range(99999) | list] %}{% endfor %}"
    ),
    "slices": "{{ [1] | slice(500000000) | list }}",
}


@pytest.mark.parametrize("source", BOMBS.values(), ids=BOMBS)
def test_a_template_that_takes_too_much_memory_is_stopped_and_leaves_the_limits_as_they_were(
    monkeypatch, source
):
    monkeypatch.setattr(bounds, "RENDER_BYTES", 96 << 20)
    before = resource.getrlimit(resource.RLIMIT_DATA)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(TemplateRefused, match=r"was stopped: it (takes|makes|asks for) too"):
        render(source, "hello")

    assert resource.getrlimit(resource.RLIMIT_DATA) == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 160 << 10
    assert render("{{ messages[0].content }}", "hello") == "hello"


def test_a_template_that_calls_itself_for_ever_is_refused():
    with pytest.raises(TemplateRefused, match="recursion"):
        render("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "hello")


def test_methods_that_make_little_do_what_they_did():
    source = (
        "{{ 'a-b'.replace('-', '+') }} {{ '-'.join(['a', 'b']) }} {{ 'a-b' | replace('-', '') }}"
    )
    assert render(source, "x") == "a+b a-b ab"


def test_nothing_is_computed_while_a_template_is_compiled(monkeypatch: pytest.MonkeyPatch):
    computed: list[object] = []
    monkeypatch.setitem(jinja2.defaults.DEFAULT_FILTERS, "sum", computed.append)
    compiled = template("{{ [1, 2] | sum }}")
    assert computed == []
    compiled.render([Message("user", "x")])
    assert computed == [[1, 2]]
