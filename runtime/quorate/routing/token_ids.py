"""Prompts of token ids, which say something to the models of one vocabulary alone. Pure."""

from __future__ import annotations

from quorate.errors import InvalidRequest
from quorate.fleet.status import ModelState
from quorate.request import Decision
from quorate.routing.snapshot import Snapshot


def refuse_foreign_ids(decision: Decision, snapshot: Snapshot) -> None:
    """Refuses ids that are other tokens to some model that may read them.

    Of a plan that is named those are the models of all its votes; where another plan may answer,
    all that there are, since nobody said whose tokens they are.

    Raises:
        InvalidRequest: Their vocabularies are not the same.
    """
    models, remedy = decision.models, "give a text"
    if decision.route.replaceable:
        remedy = "name the model whose tokens they are"
        models = tuple(
            model.id for model in snapshot.models.values() if model.state is ModelState.READY
        )
    known = {model: snapshot.models[model].vocabulary_fingerprint for model in models}
    if len(set(known.values()) - {""}) > 1:
        problem = f"has token ids, and {', '.join(known)} have no common vocabulary; {remedy}"
        raise InvalidRequest("prompt", problem)
