"""What chat templates make of a chat: which members cannot take it, and in which form they read it.

Templates are known by what was found out when their models were loaded. They are programs: one may
refuse a chat all the same, which its model says when it encodes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from quorate.fleet.status import ModelStatus
from quorate.request import ChatShape, Decision, InputForm
from quorate.routing.request import RoutingRequest


def objection(status: ModelStatus, request: RoutingRequest) -> str:
    """Why a model cannot read the chat of a request, with what to do; "" where it can."""
    shape = request.shape
    if shape is None or (request.allow_text and not status.chat):
        return ""
    problem = _refused(status, shape) if status.chat else _no_template(status)
    return f"model {status.id}: {problem}" if problem else ""


def moves_system(status: ModelStatus, shape: ChatShape) -> bool:
    """Whether a system message of the chat has no place in a model's template."""
    facts = status.template
    return status.chat and (
        (shape.system_first and not facts.system_first)
        or (shape.system_later and not facts.system_later)
    )


def makeshift(status: ModelStatus, request: RoutingRequest) -> str:
    """How a model reads the chat otherwise than it was written; "" where it does not."""
    shape = request.shape
    if shape is None:
        return ""
    if not status.chat:
        return f"model {status.id} has no chat template, and would read the chat as a text"
    if moves_system(status, shape):
        return f"the chat template of model {status.id} has no place for the system message"
    if shape.tools and not status.template.tools:
        return (
            f"the chat template of model {status.id} knows no tools, which it is told of in words"
        )
    return ""


def told(
    decision: Decision, request: RoutingRequest, models: Mapping[str, ModelStatus]
) -> Decision:
    """A vote's decision, with how its members read the prompt."""
    shape = request.shape
    if shape is None:
        return decision
    if not decision.members:
        return replace(decision, input_form=InputForm.CHAT)
    members = [models[member.model] for member in decision.members]
    texts = tuple(status.id for status in members if not status.chat)
    moved = tuple(status.id for status in members if moves_system(status, shape))
    form = InputForm.MIXED if texts else InputForm.CHAT
    if len(texts) == len(members):
        form = InputForm.TEXT
    return replace(decision, input_form=form, text_members=texts, system_moved=moved)


def _no_template(status: ModelStatus) -> str:
    problem = status.template.problem or "it has no chat template"
    return f"{problem}; send a text prompt, or allow that the chat is read as a text (allow_text)"


def _refused(status: ModelStatus, shape: ChatShape) -> str:
    facts = status.template
    if shape.repeats and facts.alternates:
        return (
            "its chat template takes no two messages of one role in a row; join them, or name "
            "another model"
        )
    if shape.assistant_first and not facts.assistant_first:
        return (
            "its chat template wants the first turn to be the user's; begin with a message of the "
            "user, or name another model"
        )
    if shape.continues and not facts.continues:
        return (
            "its chat template cannot go on with a message of the assistant; end the chat with one "
            "of the user, or name another model"
        )
    return ""
