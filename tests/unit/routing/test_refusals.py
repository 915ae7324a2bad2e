"""A service that cannot answer says what stands in the way, and when to come back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from quorate.errors import (
    BudgetSpent,
    ModelUnusable,
    OverBudget,
    PromptTooLong,
    QuorateError,
    Unavailable,
    UnsupportedPlan,
)
from quorate.fleet.status import ModelState
from quorate.request import AutoPlan, Budget, ChatShape
from quorate.routing.choose import choose_plan
from quorate.routing.request import RoutingRequest
from quorate.routing.settings import RoutingSettings
from quorate.routing.snapshot import Remaining, RemoteStatus, Snapshot
from support.routing_cases import remotes, service, status, usd_per_mtok

DEAR = usd_per_mtok(1000.0, 1000.0)
OPEN = "its circuit breaker is open: 503 of the provider"


def spent(window: str, seconds: float) -> Remaining:
    """A window of dollars without room, which knows when it has room again."""

    def refuse(usd: float) -> BudgetSpent:
        return BudgetSpent(window, f"{usd:.3f} usd do not fit", seconds)

    return Remaining(usd=0.0, usd_refusal=refuse)


def refused(snapshot: Snapshot, **asked: Any) -> Any:
    with pytest.raises(QuorateError) as refusal:
        choose_plan(RoutingRequest(**{"asked": AutoPlan(), "prompt_bytes": 40, **asked}), snapshot)
    return refusal.value


NOBODY = [(), (status("a", ModelState.FAILED),), (status("a", ModelState.UNLOADED),)]


@pytest.mark.parametrize("models", NOBODY)
def test_a_spent_window_is_named_and_says_when_it_has_room(models: Any) -> None:
    far = remotes(RemoteStatus("far", DEAR))
    error = refused(service(*models, remotes=far, remaining=spent("usd per day", 4321.0)))
    assert isinstance(error, BudgetSpent)
    assert error.window == "usd per day"
    assert error.retry_after_seconds == 4321.0
    assert "usd do not fit; no model is loaded, so that remote:far" in error.message


@pytest.mark.parametrize("models", NOBODY)
def test_an_open_breaker_is_named_and_says_when_it_closes(models: Any) -> None:
    far = remotes(RemoteStatus("far", DEAR, unavailable=OPEN, retry_seconds=37.0))
    error = refused(service(*models, remotes=far))
    assert type(error) is Unavailable
    assert error.message == f"no model is loaded; remote:far: {OPEN}"
    assert error.retry_after_seconds == 37.0


@pytest.mark.parametrize(
    ("breaker", "window", "kind", "seconds"),
    [(37.0, 60.0, BudgetSpent, 60.0), (600.0, 60.0, Unavailable, 600.0)],
)
def test_of_a_window_and_a_breaker_the_one_that_lasts_longer_is_told(
    breaker: float, window: float, kind: type, seconds: float
) -> None:
    far = remotes(RemoteStatus("far", DEAR, unavailable=OPEN, retry_seconds=breaker))
    error = refused(service(remotes=far, remaining=spent("usd per hour", window)))
    assert type(error) is kind
    assert error.retry_after_seconds == seconds


def test_of_several_remotes_the_one_that_is_back_first_is_waited_for() -> None:
    far = remotes(
        RemoteStatus("far", DEAR, unavailable=OPEN, retry_seconds=300.0),
        RemoteStatus("near", DEAR, unavailable="8 requests run, which is its limit"),
        RemoteStatus("odd", None),
    )
    error = refused(service(remotes=far))
    assert type(error) is Unavailable
    assert error.retry_after_seconds == 1.0
    for name in ("far", "near", "odd"):
        assert f"remote:{name}: " in error.message


def test_where_models_still_load_the_remotes_are_told_beside_them() -> None:
    far = remotes(RemoteStatus("far", DEAR, unavailable=OPEN, retry_seconds=37.0))
    error = refused(service(status("a", ModelState.LOADING), remotes=far))
    assert type(error) is Unavailable
    assert error.message == f"no model is ready yet; a may be soon; remote:far: {OPEN}"
    assert error.retry_after_seconds == 2.0


def test_models_that_are_stuck_do_not_hide_the_remote() -> None:
    far = remotes(RemoteStatus("far", DEAR, unavailable=OPEN, retry_seconds=37.0))
    error = refused(service("a", wedged=frozenset("a"), remotes=far))
    assert type(error) is Unavailable
    assert "a makes no progress" in error.message
    assert OPEN in error.message
    assert error.retry_after_seconds == 37.0


@pytest.mark.parametrize(
    ("far", "asked", "kind", "words"),
    [
        (RemoteStatus("far", DEAR), {"budget": Budget(usd=0.0)}, OverBudget, "it may cost"),
        (
            RemoteStatus("far", DEAR, context_length=16),
            {"prompt_token_bound": 4000, "prompt_bytes": 4000},
            PromptTooLong,
            "the context 16",
        ),
        (RemoteStatus("far"), {}, ModelUnusable, "nobody knows what it charges"),
        (RemoteStatus("far", DEAR, tasks=("code",)), {}, ModelUnusable, "it is for code only"),
        (
            RemoteStatus("far", DEAR),
            {"unsupported": {"far": ("sampling.min_p",)}},
            ModelUnusable,
            "it has no sampling.min_p",
        ),
    ],
)
def test_what_no_waiting_mends_is_told_as_what_it_is(
    far: RemoteStatus, asked: dict[str, Any], kind: type, words: str
) -> None:
    error = refused(service(remotes=remotes(far)), **asked)
    assert type(error) is kind
    assert words in error.message
    assert "no model is loaded" in error.message


def test_where_nothing_may_leave_the_machine_that_is_told() -> None:
    snapshot = service(remotes=remotes())
    words = "no model is loaded, and nothing may leave this machine"
    assert words in refused(snapshot, local_only=True).message
    closed = replace(snapshot, settings=RoutingSettings(local_only=True))
    assert words in refused(closed).message
    assert words not in refused(service()).message


BASE = status("base", chat=False)
CHAT = {"chat": True, "shape": ChatShape()}


@pytest.mark.parametrize("state", [ModelState.FAILED, ModelState.UNLOADED])
def test_a_model_that_is_gone_for_good_is_nothing_to_wait_for(state: ModelState) -> None:
    error = refused(service(status("reader", state, chat=True), BASE), **CHAT)
    assert type(error) is UnsupportedPlan
    assert "model base: it has no chat template" in error.message


def test_beside_a_model_that_is_ready_and_cannot_read_it_the_one_that_can_is_waited_for() -> None:
    away = status("reader", ModelState.RESTARTING, chat=True, served=True)
    error = refused(service(away, BASE), **CHAT)
    assert type(error) is Unavailable
    assert error.message.startswith("no plan can run now: model reader is restarting; model base")
    assert error.retry_after_seconds == 2.0


def test_a_remote_is_waited_for_where_the_models_that_are_ready_cannot_read_the_chat() -> None:
    far = remotes(RemoteStatus("far", DEAR, unavailable=OPEN, retry_seconds=37.0))
    error = refused(service(BASE, remotes=far), **CHAT)
    assert type(error) is Unavailable
    assert error.retry_after_seconds == 37.0
    assert "model base: it has no chat template" in error.message
