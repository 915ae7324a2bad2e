"""What bodies of the HTTP API ask for, and what of them is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.api.http.anthropic.messages import message_asked
from quorate.api.http.asking import Asked, Context
from quorate.api.http.errors import field_of
from quorate.api.http.names import plan_named
from quorate.api.http.openai.chats import chat_asked
from quorate.api.http.openai.texts import text_asked
from quorate.api.http.unserved import NOT_SERVED
from quorate.errors import InvalidRequest, NotFound, PromptTooLong
from quorate.request import (
    AutoPlan,
    Budget,
    ChatPrompt,
    Message,
    Plan,
    ProfilePlan,
    TextPrompt,
    WeightedModel,
)

MODELS, PROFILES = ("a", "b", "c+d", "e=2"), ("pair",)
CONTEXT = Context(
    models=MODELS, profiles=PROFILES, request_id="r", context_length=4096, key="k", origin="o"
)
HI = [{"role": "user", "content": "hi"}]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def chat(**body: Any) -> Asked:
    return chat_asked({"messages": HI, **body}, CONTEXT)


def text(**body: Any) -> Asked:
    return text_asked({"prompt": "once", **body}, CONTEXT)


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        (None, None),
        ("", None),
        ("auto", AutoPlan()),
        ("pair", ProfilePlan("pair")),
        ("a", Plan((WeightedModel("a"),))),
        ("vote:a+b", Plan((WeightedModel("a"), WeightedModel("b")))),
        ("vote:a=0.7+b=0.3", Plan((WeightedModel("a", 0.7), WeightedModel("b", 0.3)))),
        ("vote:a=2+e=2", Plan((WeightedModel("a", 2.0), WeightedModel("e=2")))),
    ],
)
def test_a_model_is_a_model_a_profile_the_router_s_choice_or_a_vote(name: Any, plan: Any) -> None:
    assert plan_named("model", name, MODELS, PROFILES) == plan


@pytest.mark.parametrize(
    "name",
    [
        "vote:",
        "vote:a+",
        "vote:a+a",
        "vote:a=x+b",
        "vote:a=nan+b",
        "vote:a=-1+b",
        "vote:a=0+b=0",
        "x" * 300,
        "vote:" + "+".join("a" * 100),
        "vote:a+" + "b" * 300,
    ],
)
def test_a_vote_that_can_never_be_served_is_refused_by_its_field(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan_named("model", name, MODELS, PROFILES)
    assert caught.value.field == "model"


def test_a_name_that_nobody_has_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        plan_named("model", "pear", MODELS, PROFILES)
    assert caught.value.nearest == ("pair",)


def test_a_chat_asks_for_what_openai_s_fields_say() -> None:
    asked = chat(
        model="vote:a+b",
        messages=[
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "x"}, {"text": "y"}]},
            {"role": "assistant", "content": None},
        ],
        temperature=0.5,
        top_p=0.9,
        seed=7,
        presence_penalty=0.1,
        frequency_penalty=-0.2,
        logit_bias={"5": -100},
        max_tokens=3,
        max_completion_tokens=9,
        stop="end",
        logprobs=True,
        top_logprobs=2,
        stream=True,
        stream_options={"include_usage": True},
        user="somebody",
        quorate={"budget": {"joules": None, "usd": 0.5}, "local_only": True}
        | {"budget": {"usd": 0.5, "latency_ms": 300}},
    )
    (request,) = asked.requests
    assert request.prompt == ChatPrompt(
        (Message("system", "be brief"), Message("user", "x\ny"), Message("assistant", ""))
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.seed) == (0.5, 0.9, 7)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.1, -0.2)
    assert sampling.logit_bias == {5: -100.0}
    assert (request.stopping.max_tokens, request.stopping.stop) == (9, ("end",))
    assert (request.response.top_logprobs, request.response.omit_logprobs) == (2, False)
    assert (request.budget, request.local_only) == (Budget(300.0, None, 0.5), True)
    assert (request.request_id, request.key, request.origin) == ("r", "k", "o")
    assert (asked.stream, asked.include_usage, asked.logprobs) == (True, True, True)


def test_what_stands_for_none_elsewhere_is_none() -> None:
    (request,) = text(seed=-1, top_k=-1, max_tokens=-1, stop=None, n=None).requests
    assert (request.sampling.seed, request.sampling.top_k) == (None, 0)
    # No limit but the context's.
    assert request.stopping.max_tokens == CONTEXT.context_length
    assert request.response.omit_logprobs


def test_options_that_are_left_out_cut_nothing_away() -> None:
    for asked in (chat(), text(), message()):
        (request,) = asked.requests
        sampling = request.sampling
        assert (sampling.temperature, sampling.top_p) == (1.0, 1.0)
        assert (sampling.top_k, sampling.min_p) == (0, 0.0)
        assert (sampling.seed, sampling.repetition_penalty) == (None, None)
    # The limit is the configuration's.
    assert chat().requests[0].stopping.max_tokens is None
    assert chat(temperature=0, top_k=7).requests[0].sampling.top_k == 7


def test_names_that_llama_server_has_are_served() -> None:
    (request,) = chat(n_predict=7, repeat_penalty=1.5).requests
    assert (request.stopping.max_tokens, request.sampling.repetition_penalty) == (7, 1.5)


@pytest.mark.parametrize(
    ("given", "seed"),
    [(2**53, 0), (2**63 - 1, 2**53 - 1), (-2, 2**53 - 2), (-1, None), (5, 5)],
)
def test_seeds_of_64_bits_are_taken(given: int, seed: int | None) -> None:
    assert chat(seed=given).requests[0].sampling.seed == seed


def test_a_history_may_tell_that_no_tools_were_called() -> None:
    turns = [*HI, {"role": "assistant", "content": "x", "tool_calls": [], "function_call": None}]
    (request,) = chat(messages=turns).requests
    assert request.prompt == ChatPrompt((Message("user", "hi"), Message("assistant", "x")))


@pytest.mark.parametrize("read", ["chat", "text", "message"])
@pytest.mark.parametrize("name", NOT_SERVED)
def test_what_would_change_an_answer_and_is_not_served_is_refused(read: str, name: str) -> None:
    ask = {"chat": chat, "text": text, "message": message}[read]
    with pytest.raises(InvalidRequest) as caught:
        ask(**{name: {"format": "x", "type": "x"}})
    assert caught.value.field == name
    ask(**{name: None})


@pytest.mark.parametrize(
    "body",
    [
        {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}},
        {"tool_choice": {"type": "auto"}, "output_config": {"effort": "low"}},
        {"ignore_eos": False, "min_tokens": 0, "stop_token_ids": [], "grammar": "", "echo": False},
        {"user": "u", "store": True, "metadata": {}, "service_tier": "auto", "cache_prompt": True},
    ],
)
def test_what_changes_nothing_of_an_answer_is_passed_over(body: dict[str, Any]) -> None:
    for ask in (chat, text, message):
        assert ask(**body).requests == ask().requests


@pytest.mark.parametrize(
    ("ask", "body", "field", "told"),
    [
        ("chat", {}, "chat", "messages"),
        ("chat", {}, "chat.messages[3].role", "messages[3].role"),
        ("text", {}, "prompt", "prompt"),
        ("message", {}, "chat", "messages"),
        ("chat", {"max_tokens": 5}, "stopping.max_tokens", "max_tokens"),
        ("chat", {"max_completion_tokens": 5}, "stopping.max_tokens", "max_completion_tokens"),
        ("text", {"n_predict": 5}, "stopping.max_tokens", "n_predict"),
        ("chat", {"repeat_penalty": 2}, "sampling.repetition_penalty", "repeat_penalty"),
        ("message", {}, "stopping.stop[2]", "stop_sequences[2]"),
        ("chat", {}, "stopping.stop[2]", "stop[2]"),
        ("text", {}, "plan.single.model", "model"),
    ],
)
def test_a_field_is_told_by_the_name_that_its_caller_gave_it(
    ask: str, body: dict[str, Any], field: str, told: str
) -> None:
    asked = {"chat": chat, "text": text, "message": message}[ask](**body)
    assert field_of(field, asked.names) == told


def test_each_choice_is_a_request_with_a_seed_and_an_id_of_its_own() -> None:
    asked = text(prompt=["x", "y"], n=2, seed=5)
    assert [one.prompt for one in asked.requests] == [TextPrompt(t) for t in ("x", "x", "y", "y")]
    assert [one.sampling.seed for one in asked.requests] == [5, 6, 5, 6]
    assert [one.request_id for one in asked.requests] == ["r-0", "r-1", "r-2", "r-3"]


def test_choices_share_a_budget_and_seeds_stay_in_their_range() -> None:
    top = 2**53 - 1
    budget = {"latency_ms": 100, "energy_joules": 8, "usd": 0.4}
    extension = {"request_id": "mine", "budget": budget}
    asked = text(prompt=["x", "y"], n=2, seed=top, quorate=extension)
    assert [one.sampling.seed for one in asked.requests] == [top, 0, top, 0]
    assert {one.budget for one in asked.requests} == {Budget(100.0, 2.0, 0.1)}
    assert asked.request_id == "mine"
    assert asked.requests[3].request_id == "mine-3"


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("messages", {"messages": None}),
        ("messages", {"messages": []}),
        ("messages", {"messages": "hi"}),
        ("messages[0]", {"messages": ["hi"]}),
        ("messages[0].role", {"messages": [{"content": "hi"}]}),
        ("messages[0].role", {"messages": [{"role": "function", "content": "4"}]}),
        ("messages[0].role", {"messages": [{"role": "u" * 65, "content": "hi"}]}),
        ("messages[0].content", {"messages": [{"role": "user", "content": 4}]}),
        (
            "messages[0].content[0].type",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        ),
        ("tools[0].name", {"tools": [{"type": "function"}]}),
        ("tool_choice", {"tool_choice": "required"}),
        ("response_format.json_schema.schema", {"response_format": {"type": "json_schema"}}),
        ("top_logprobs", {"top_logprobs": 3}),
        ("top_logprobs", {"logprobs": True, "top_logprobs": 1000}),
        ("n", {"n": 0}),
        ("n", {"n": 17}),
        ("temperature", {"temperature": "hot"}),
        ("temperature", {"temperature": True}),
        ("temperature", {"temperature": 10**400}),
        ("seed", {"seed": 1.5}),
        ("max_tokens", {"max_tokens": 0}),
        ("stop", {"stop": {}}),
        ("stop[1]", {"stop": ["a", 3]}),
        ("logit_bias", {"logit_bias": {"a": 1}}),
        ("logit_bias.5", {"logit_bias": {"5": "x"}}),
        ("stream", {"stream": "yes"}),
        ("quorate", {"quorate": 3}),
        ("quorate.local", {"quorate": {"local": True}}),
        ("quorate.budget.usd", {"quorate": {"budget": {"usd": -1}}}),
        ("quorate.request_id", {"quorate": {"request_id": "a\nb"}}),
    ],
)
def test_what_can_never_be_served_is_refused_by_its_path(field: str, body: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat(**body)
    assert caught.value.field == field


def message(**body: Any) -> Asked:
    return message_asked({"messages": HI, "max_tokens": 5, **body}, CONTEXT)


def test_a_message_asks_for_what_anthropic_s_fields_say() -> None:
    (request,) = message(
        model="a",
        system=[{"type": "text", "text": "be"}, {"type": "text", "text": "brief"}],
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
            {"role": "assistant", "content": "So"},
        ],
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["end"],
        metadata={"user_id": "u"},
        thinking={"type": "disabled"},
    ).requests
    assert request.prompt == ChatPrompt(
        (Message("system", "be\nbrief"), Message("user", "x"), Message("assistant", "So"))
    )
    sampling = request.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k) == (0.5, 0.9, 3)
    assert (request.stopping.max_tokens, request.stopping.stop) == (5, ("end",))
    assert request.response.omit_logprobs


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("max_tokens", {"max_tokens": None}),
        ("max_tokens", {"max_tokens": 0}),
        ("messages", {"messages": []}),
        ("messages[0].role", {"messages": [{"role": "system", "content": "x"}]}),
        ("messages[0].content", {"messages": [{"role": "user"}]}),
        (
            "messages[0].content[0].type",
            {"messages": [{"role": "user", "content": [{"type": "image"}]}]},
        ),
        ("system", {"system": 3}),
        ("tools[0].name", {"tools": [{"name": "f g"}]}),
        ("thinking", {"thinking": {"type": "enabled", "budget_tokens": 9}}),
        ("stop_sequences[0]", {"stop_sequences": [1]}),
        ("stop_sequences", {"stop_sequences": "end"}),
    ],
)
def test_what_can_never_be_served_of_a_message_is_refused_by_its_path(
    field: str, body: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        message(**body)
    assert caught.value.field == field


def test_a_prompt_that_no_context_holds_is_one_that_is_too_long() -> None:
    with pytest.raises(PromptTooLong):
        text(prompt="x" * (4 * 2**20 + 1))


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "messages",
                "prompt",
                "model",
                "stop",
                "n",
                "logit_bias",
                "quorate",
                "stream_options",
                "temperature",
                "seed",
                "logprobs",
                "system",
                "thinking",
                "max_tokens",
            ]
        ),
        json_values,
    )
)
def test_any_json_object_is_read_or_refused(body: dict[str, Any]) -> None:
    for read in (chat_asked, text_asked, message_asked):
        try:
            read(body, CONTEXT)
        except (InvalidRequest, NotFound):
            continue
