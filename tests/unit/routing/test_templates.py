from __future__ import annotations

from typing import Any

import pytest

from quorate.engines.template_facts import TemplateFacts
from quorate.errors import TemplateRefused, UnsupportedPlan
from quorate.request import (
    CascadePlan,
    ChatShape,
    Clause,
    Decision,
    InputForm,
    PlanKind,
    ProfilePlan,
    Stage,
)
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from support.routing_cases import clauses, name_of, remotes, service, status, vote

ANY = status("any", chat=True)
GEMMA = status(
    "gemma",
    chat=True,
    template=TemplateFacts(
        system_first=False, system_later=False, alternates=True, assistant_first=False
    ),
)
LATE = status("late", chat=True, template=TemplateFacts(system_later=False, continues=False))
BASE = status("base", chat=False)
PAIR = {"pair": vote("gemma", "any")}
RULED = ChatShape(system_first=True)


def decide(asked: Any, shape: ChatShape | None, *models: Any, **rest: Any) -> Decision:
    known = {"allow_text", "local_only", "one_vote"}
    given = {name: rest.pop(name) for name in known & rest.keys()}
    request = RoutingRequest(asked, chat=shape is not None, shape=shape, **given)
    return choose_plan(request, service(*models, **rest))


@pytest.mark.parametrize(
    ("model", "shape", "problem"),
    [
        (GEMMA, ChatShape(repeats=True), "two messages of one role in a row; join them"),
        (GEMMA, ChatShape(assistant_first=True), "the first turn to be the user's"),
        (LATE, ChatShape(continues=True), "cannot go on with a message of the assistant"),
    ],
)
def test_a_member_whose_template_cannot_take_the_chat_rules_its_plans_out(model, shape, problem):
    plans = {"pair": vote(model.id, "any")}
    for asked in (
        vote(model.id),
        vote("any", model.id),
        ProfilePlan("pair"),
        CascadePlan((Stage(vote("any")), Stage(vote(model.id)))),
    ):
        with pytest.raises(
            TemplateRefused, match=f"model {model.id}: its chat template.*{problem}"
        ):
            decide(asked, shape, model, ANY, profiles=plans)
    chosen = decide(None, shape, model, ANY, profiles=plans)
    assert chosen.route.name == "single:any"
    against = clauses(chosen)
    assert against[f"single:{model.id}"] == against["profile:pair"] == [Clause.TEMPLATE]
    assert decide(vote(model.id), ChatShape(), model).members


def test_a_chat_that_no_template_takes_is_the_requests_fault():
    with pytest.raises(TemplateRefused, match=r"no plan can read it: model gemma"):
        decide(None, ChatShape(repeats=True), GEMMA)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (GEMMA, RULED),
        (GEMMA, ChatShape(system_later=True)),
        (LATE, ChatShape(system_later=True)),
    ],
)
def test_system_text_is_moved_for_those_who_have_no_place_for_it(model, shape):
    decision = decide(vote(model.id, "any"), shape, model, ANY)
    assert decision.system_moved == (model.id,)
    assert decision.input_form is InputForm.CHAT
    assert decide(vote("late"), RULED, LATE).system_moved == ()
    assert decide(vote(model.id), ChatShape(), model).system_moved == ()


def test_the_stages_of_a_cascade_each_say_how_they_read():
    plan = CascadePlan((Stage(vote("gemma")), Stage(vote("any", "base"))))
    decision = decide(plan, RULED, GEMMA, ANY, BASE, allow_text=True)
    first, second = (stage.decision for stage in decision.route.stages)
    assert (first.system_moved, first.input_form) == (("gemma",), InputForm.CHAT)
    assert (second.text_members, second.input_form) == (("base",), InputForm.MIXED)


def test_auto_prefers_those_who_read_the_chat_as_it_was_written():
    models = GEMMA, BASE, ANY
    chosen = decide(None, RULED, *models, allow_text=True, profiles=PAIR)
    assert chosen.route.name == "single:any"
    against = clauses(chosen)
    for other in ("single:gemma", "single:base", "profile:pair"):
        assert against[other] == [Clause.TEMPLATE], other
    assert against["single:any"] == []


@pytest.mark.parametrize(("model", "moved"), [(GEMMA, ("gemma",)), (BASE, ())])
def test_auto_takes_others_where_there_is_nobody_else(model, moved):
    chosen = decide(None, RULED, model, allow_text=True, remotes=remotes())
    assert chosen.route.name == f"single:{model.id}"
    assert chosen.system_moved == moved
    assert clauses(chosen)[f"single:{model.id}"] == []


def test_a_member_without_a_template_reads_a_text_only_where_that_is_allowed():
    with pytest.raises(UnsupportedPlan, match="model base: it has no chat template; send a text"):
        decide(vote("base"), ChatShape(), BASE)
    broken = status("broken", template=TemplateFacts(problem="it never ends"))
    with pytest.raises(UnsupportedPlan, match="model broken: it never ends; send a text prompt"):
        decide(vote("broken"), ChatShape(), broken)
    with pytest.raises(UnsupportedPlan, match="no plan can run: model base"):
        decide(None, ChatShape(), BASE)
    alone = decide(vote("base"), ChatShape(), BASE, allow_text=True)
    assert (alone.input_form, alone.text_members) == (InputForm.TEXT, ("base",))
    # What speaks against a template is nothing to somebody who has none.
    assert decide(vote("base"), ChatShape(repeats=True), BASE, allow_text=True).members


def test_a_text_is_a_text_and_a_remote_reads_a_chat():
    assert decide(vote("base"), None, BASE).input_form is InputForm.TEXT
    far = decide(None, RULED, remotes=remotes())
    assert (far.route.kind, far.input_form) == (PlanKind.REMOTE, InputForm.CHAT)
    assert name_of(vote("base"), service(BASE)) == "single:base"
