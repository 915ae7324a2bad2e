from __future__ import annotations

import logging

import pytest

from quorate.access.keys import Caller
from quorate.access.record import RequestRecord
from quorate.errors import InvalidRequest
from quorate.request import AutoPlan
from support.attempts import decision
from support.dispatching import only, steps


def test_a_call_goes_by_the_id_of_its_caller_and_else_by_the_one_made_up() -> None:
    record = RequestRecord("m", "made-up")
    record.identify("")
    assert record.request_id == "made-up"
    record.identify("mine")
    assert record.request_id == "mine"


@pytest.mark.parametrize("request_id", ["x" * 129, "a\nb"])
def test_an_id_that_would_garble_the_log_is_refused_and_not_kept(request_id: str) -> None:
    record = RequestRecord("m", "made-up")
    with pytest.raises(InvalidRequest) as refusal:
        record.identify(request_id)
    assert refusal.value.field == "request_id"
    assert record.request_id == "made-up"


def test_the_models_are_those_asked_for_until_it_is_decided() -> None:
    record = RequestRecord("m", "r")
    record.ask(AutoPlan())
    assert record.models == ()
    record.ask(steps("a", "b"))
    assert record.models == ("a", "b")
    record.ask(only("a"))
    assert record.models == ("a",)
    record.decide(decision("b", "c"))
    assert record.models == ("b", "c")


def test_the_line_of_a_call_names_all_that_is_known_of_it(caplog: pytest.LogCaptureFixture) -> None:
    record = RequestRecord("/quorate.v1.S/M", 'r"', ("a",), "OK", Caller("alice"))
    with caplog.at_level(logging.INFO, "quorate.requests"):
        record.log(0.0125)
    [line] = caplog.messages
    assert line == (
        'method=quorate.v1.S/M status=OK duration_ms=12.5 request_id="r\\"" key="alice" '
        'models=["a"]'
    )
