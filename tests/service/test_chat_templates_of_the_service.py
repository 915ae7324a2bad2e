"""Models whose chat templates can do different things, over a real server with real workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from quorate.client import Client
from quorate.v1 import inference_pb2, models_pb2, plan_pb2
from support.streams import Stream, answer, refused
from support.whole_service import scripted, whole_service

SAY = "yes indeed"
GEMMA = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
MOODY = (
    "{% if 'today' in messages[0].content %}{{ raise_exception('not today') }}{% endif %}"
    "{% if 'forever' in messages[0].content %}" + ENDLESS + "{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
)
PARTS = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% for part in m.content %}{{ part.text }}"
    "{% endfor %}<|im_end|>{% endfor %}{{ '<|im_start|>assistant\n' }}"
)
MODELS = (
    scripted("gemma", say=SAY, template=GEMMA),
    scripted("any", say=SAY, seed=2),
    scripted("words", say=SAY, seed=3, vocabulary="words"),
    scripted("base", say=SAY, seed=4, chat=False),
    scripted("parts", say=SAY, seed=5, template=PARTS),
    scripted("moody", say=SAY, seed=6, template=MOODY),
)
SECTIONS = {
    "routing": {"probe": False, "exploration": 0.0},
    "profiles": {
        "pair": {"members": ["gemma", "any"]},
        "fine": {"members": ["any", "words"]},
        "odd": {"members": ["base", "any"]},
    },
}
RULED = [("system", "Be brief."), ("user", "Hi")]
TWICE = [("user", "one"), ("user", "two")]
MOVED = inference_pb2.NOTICE_KIND_SYSTEM_MOVED


# One service for all of them: what they ask changes nothing in it.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    home = tmp_path_factory.mktemp("templates")
    async with whole_service(home, *MODELS, sections=SECTIONS) as (_, connected):
        yield connected


async def asked(client: Client, messages: list[tuple[str, str]], **options: Any) -> Stream:
    return await answer(client, None, messages=messages, temperature=0.0, **options)


def prompt_tokens(heard: Stream, model: str) -> int:
    used = {one.model: one.prompt_tokens for one in heard.usage.models}
    return used[model]


def against(decision: plan_pb2.Decision) -> dict[str, list[int]]:
    return {
        one.name: [rejection.clause for rejection in one.rejections] for one in decision.candidates
    }


@pytest.mark.parametrize(
    "plan", [{"model": "gemma"}, {"models": ["gemma", "any"]}, {"profile": "pair"}]
)
async def test_system_text_without_a_place_opens_the_users_message_and_the_stream_says_so(
    client: Client, plan: dict[str, Any]
) -> None:
    heard = await asked(client, RULED, **plan)
    assert heard.text == SAY
    assert [(one.kind, one.model) for one in heard.notices] == [(MOVED, "gemma")]
    assert list(heard.decision.system_moved) == ["gemma"]
    assert heard.decision.input_form == plan_pb2.INPUT_FORM_CHAT
    written = await asked(client, [("user", "Be brief.\n\nHi")], model="gemma")
    assert prompt_tokens(heard, "gemma") == prompt_tokens(written, "gemma")
    assert (written.notices, list(written.decision.system_moved)) == ([], [])


async def test_auto_takes_a_plan_that_reads_the_chat_as_it_was_written(client: Client) -> None:
    heard = await asked(client, RULED, auto=True)
    assert heard.text == SAY
    assert not heard.decision.system_moved
    assert heard.notices == []
    clauses = against(heard.decision)
    assert clauses["single:gemma"] == [plan_pb2.CLAUSE_TEMPLATE]
    assert clauses["profile:pair"] == [plan_pb2.CLAUSE_TEMPLATE]
    assert clauses["single:base"] == [plan_pb2.CLAUSE_UNSUPPORTED]
    assert clauses["single:any"] == []


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (TWICE, "no two messages of one role in a row; join them"),
        ([("assistant", "So?"), ("user", "Hi")], "the first turn to be the user's"),
    ],
)
async def test_a_named_plan_whose_member_cannot_read_the_chat_is_refused_and_auto_takes_another(
    client: Client, messages: list[tuple[str, str]], problem: str
) -> None:
    for plan in ({"model": "gemma"}, {"models": ["any", "gemma"]}, {"profile": "pair"}):
        error = await refused(client.complete(None, messages=messages, **plan))
        assert (error.status, error.reason) == ("INVALID_ARGUMENT", "TEMPLATE_REFUSED")
        assert "model gemma: its chat template" in error.message
        assert problem in error.message
    heard = await asked(client, messages, auto=True)
    assert heard.text == SAY
    assert against(heard.decision)["single:gemma"] == [plan_pb2.CLAUSE_TEMPLATE]


async def test_what_a_template_refuses_only_now_is_refused_under_the_models_name(
    client: Client,
) -> None:
    error = await refused(client.complete(None, messages=[("user", "not today")], model="moody"))
    assert (error.status, error.reason) == ("INVALID_ARGUMENT", "TEMPLATE_REFUSED")
    assert "model moody: its chat template refuses these messages: not today" in error.message
    error = await refused(
        client.complete(None, messages=[("user", "forever")], models=["any", "moody"])
    )
    assert "model moody: its chat template was stopped: it takes " in error.message
    assert (await asked(client, [("user", "Hi")], model="moody")).text == SAY


async def test_content_comes_in_parts_where_the_template_wants_them(client: Client) -> None:
    parts, plain = [await asked(client, RULED, model=model) for model in ("parts", "any")]
    assert parts.text == SAY
    assert prompt_tokens(parts, "parts") == prompt_tokens(plain, "any")


async def test_members_without_a_template_read_a_text_where_that_is_allowed(
    client: Client,
) -> None:
    one, several = [("user", "Hi")], ["base", "any"]
    error = await refused(client.complete(None, messages=one, models=several))
    assert error.status == "FAILED_PRECONDITION"
    assert "model base: it has no chat template; send a text prompt" in error.message
    alone = await asked(client, one, allow_text=True, model="base")
    assert alone.decision.input_form == plan_pb2.INPUT_FORM_TEXT
    text = await answer(client, "Hi", model="base", temperature=0.0)
    assert prompt_tokens(alone, "base") == prompt_tokens(text, "base")
    assert text.decision.input_form == plan_pb2.INPUT_FORM_TEXT
    mixed = await asked(client, one, allow_text=True, models=several)
    assert mixed.decision.input_form == plan_pb2.INPUT_FORM_MIXED
    assert list(mixed.decision.text_members) == ["base"]
    chat = await asked(client, one, model="any")
    assert prompt_tokens(mixed, "base") == prompt_tokens(text, "base")
    assert prompt_tokens(mixed, "any") == prompt_tokens(chat, "any")


@pytest.mark.parametrize("plan", [{"profile": "fine"}, {"auto": True}, {"model": "any"}])
async def test_a_model_without_a_template_changes_nothing_for_the_others(
    client: Client, plan: dict[str, Any]
) -> None:
    heard = await asked(client, [("user", "Hi")], allow_text=True, **plan)
    assert heard.decision.input_form == plan_pb2.INPUT_FORM_CHAT
    assert "base" not in [member.model for member in heard.decision.members]


@pytest.mark.parametrize("plan", [{"model": "any"}, {"models": ["any", "words"]}])
async def test_a_chat_that_ends_with_the_assistant_is_gone_on_with(
    client: Client, plan: dict[str, Any]
) -> None:
    heard = await asked(client, [("user", "Is it?"), ("assistant", "yes in")], **plan)
    assert heard.text == "deed"


async def test_special_tokens_of_a_prompt_are_special_where_that_is_asked_for(
    client: Client,
) -> None:
    chat = await asked(client, [("user", "Hi")], model="any")
    turns = "<|im_start|>user\nHi<|im_end|><|im_start|>assistant\n"
    for written in (turns, f"<s>{turns}"):
        parsed = await answer(client, written, parse_special=True, model="any", temperature=0.0)
        assert prompt_tokens(parsed, "any") == prompt_tokens(chat, "any")
    plain = await answer(client, turns, model="any", temperature=0.0)
    assert prompt_tokens(plain, "any") > prompt_tokens(chat, "any")
    error = await refused(client.complete(None, messages=[("user", "Hi")], parse_special=True))
    assert [field for field, _ in error.violations] == ["parse_special"]


async def test_what_a_template_can_do_stands_with_its_model(client: Client) -> None:
    known = {model.id: model for model in await client.models()}
    assert known["gemma"].template == models_pb2.TemplateFacts(
        alternates=True, continues=True, generation_prompt=True, parallel_calls=True
    )
    assert known["parts"].template.content_parts
    assert not known["base"].HasField("template")
    assert {model.template_problem for model in known.values()} == {""}


async def test_a_template_that_does_not_end_makes_its_model_one_without(tmp_path: Path) -> None:
    models = scripted("stuck", say=SAY, template=ENDLESS), scripted("lost", say=SAY, template="x")
    async with whole_service(tmp_path, *models) as (_, client):
        stuck, lost = await client.models()
        assert "was stopped: it takes " in stuck.template_problem
        assert "leaves out what the user writes" in lost.template_problem
        assert not (stuck.chat or lost.chat)
        assert stuck.state == lost.state == models_pb2.MODEL_STATE_READY
        error = await refused(client.complete(None, messages=[("user", "Hi")], model="stuck"))
        assert "model stuck: its chat template was stopped" in error.message
        assert (await answer(client, "go", model="stuck", temperature=0.0)).text == SAY
        for messages in ([("user", "Hi")], RULED):
            error = await refused(client.complete(None, messages=messages, auto=True))
            assert error.reason == "UNSUPPORTED_PLAN"
            assert "no plan can run: model stuck: its chat template was stopped" in error.message
