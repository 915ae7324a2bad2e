from __future__ import annotations

from dataclasses import replace

import pytest

from quorate.engines.chat import bounds
from quorate.engines.chat import probe as probing
from quorate.engines.chat.probe import TemplateUse, probe
from quorate.engines.chat.template import ChatTemplate
from quorate.engines.template_facts import TemplateFacts

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA_2 = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if message['role'] == 'assistant' %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + "
    "message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
# System text goes with the first turn, whoever's that is; later turns alternate.
LLAMA_2 = (
    "{% set rest = messages %}{% set rule = '' %}{% if messages[0].role == 'system' %}"
    "{% set rest = messages[1:] %}{% set rule = '<<SYS>>' + messages[0].content + '<</SYS>>' %}"
    "{% endif %}{% for m in rest %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
    "{% if m.role == 'user' %}[INST] {{ rule if loop.first else '' }}{{ m.content }} [/INST]"
    "{% else %} {{ m.content }} </s>{% endif %}{% endfor %}"
)
QWEN_3 = (
    "{% for m in messages %}{% set content = m.content %}{% if m.role == 'assistant' %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\n') %}"
    "{% endif %}{% endif %}<|im_start|>{{ m.role }}\n{{ content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for p in m.content %}"
    "{% if p['type'] == 'text' %}{{ p['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
USER_PARTS = (
    "{% for m in messages %}{% if m.role == 'user' %}<|u|>{{ m.content[0]['text'] }}"
    "{% else %}<|a|>{{ m.content }}{% endif %}{% endfor %}<|a|>"
)
ANYTHING = TemplateFacts()


def found(source: str) -> TemplateUse:
    return probe(ChatTemplate(source, {"bos_token": "<s>", "eos_token": "</s>"}, "tiny"))


@pytest.mark.parametrize(
    ("source", "facts"),
    [
        (CHATML, ANYTHING),
        (
            GEMMA_2,
            replace(
                ANYTHING,
                system_first=False,
                system_later=False,
                alternates=True,
                assistant_first=False,
            ),
        ),
        (
            LLAMA_2,
            replace(
                ANYTHING,
                system_later=False,
                alternates=True,
                assistant_first=False,
                generation_prompt=False,
            ),
        ),
        (QWEN_3, replace(ANYTHING, cuts_reasoning=True)),
        (PARTS, replace(ANYTHING, content_parts=True)),
        (
            CHATML.replace("in messages", "in messages if m.role != 'system'"),
            replace(ANYTHING, system_first=False, system_later=False),
        ),
        (
            "{{ raise_exception('x') if messages[-1].role != 'user' }}" + CHATML,
            replace(ANYTHING, continues=False),
        ),
    ],
    ids=["chatml", "gemma 2", "llama 2", "qwen 3", "parts", "system lost", "user last"],
)
def test_what_a_template_can_do_is_found_out(source, facts):
    assert found(source).facts == facts


def test_each_role_gets_its_content_as_the_template_wants_it():
    assert found(CHATML).parts == frozenset()
    assert found(PARTS).parts == {"system", "user", "assistant"}
    assert found(USER_PARTS).parts == {"user"}


@pytest.mark.parametrize("mark", ["</think>", "[/THINK]", "</seed:think>"])
def test_the_marks_that_end_reasoning_are_those_of_the_template(mark):
    assert found(QWEN_3.replace("</think>", mark)).reasoning_ends == (mark,)


HANGS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
EXPLODES = "{{ 'a' * 99999999999 }}"
FLOODS = "{% for a in range(99999) %}{{ messages[0].content * 999 }}{% endfor %}"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (HANGS, "was stopped: it takes"),
        (CHATML + "{% if messages | length > 2 %}" + HANGS + "{% endif %}", "was stopped"),
        (EXPLODES, "was stopped: it makes too long a value"),
        (FLOODS, "makes more than"),
        ("{{ raise_exception('not today') }}", "refuses these messages: not today"),
        ("{{ 1 / 0 }}", "division by zero"),
        ("always the same", "leaves out what the user writes"),
        ("{{ messages }}{{ raise_exception('x') if messages[0].content is string }}", "x"),
    ],
)
def test_a_template_that_is_of_no_use_says_why_and_can_do_nothing(source, problem, monkeypatch):
    monkeypatch.setattr(probing, "_PROBE_SECONDS", 0.05)
    monkeypatch.setattr(bounds, "RENDER_SECONDS", 0.05)
    facts = found(source).facts
    assert problem in facts.problem
    assert not (facts.system_first or facts.continues or facts.generation_prompt)
