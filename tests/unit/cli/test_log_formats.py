from __future__ import annotations

import json
import logging
import sys

from quorate.access.keys import Caller
from quorate.access.record import RequestRecord
from quorate.cli.log_formats import log_formatter
from quorate.errors import InvalidRequest
from quorate.request import Usage


def record(message: str, *args: object, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("quorate.x", logging.WARNING, "f", 1, message, args, None)
    made.__dict__.update(more)
    return made


def test_json_has_an_object_a_line_whatever_the_message_holds() -> None:
    line = log_formatter("json").format(record('a\n"%s"', "\x1b[2J"))
    assert "\n" not in line
    assert "\x1b" not in line
    told = json.loads(line)
    assert told.pop("time").endswith("+00:00")
    assert told == {"level": "warning", "logger": "quorate.x", "message": 'a "\\x1b[2J"'}


def test_json_keeps_a_traceback_in_the_line() -> None:
    try:
        raise ZeroDivisionError("by zero")
    except ZeroDivisionError:
        told = json.loads(log_formatter("json").format(record("x", exc_info=sys.exc_info())))
    assert told["traceback"].endswith("ZeroDivisionError: by zero")


def test_a_call_is_told_by_its_fields_in_both_formats(caplog) -> None:
    call = RequestRecord("/quorate.v1.S/M", "r1", caller=Caller("op"), peer="ipv4:127.0.0.1:9")
    call.count(2)
    call.count(1)
    call.used(Usage(7, 3, 1.0, 2.0))
    refused = RequestRecord("/quorate.v1.S/M", "r2")
    refused.refuse("INVALID_ARGUMENT", InvalidRequest("plan.x\nstatus=OK", "is wrong"))
    with caplog.at_level(logging.INFO, "quorate.requests"):
        call.log(0.5)
        refused.log(0.001)
    told, other = (json.loads(log_formatter("json").format(one)) for one in caplog.records)
    assert (told["method"], told["status"], told["duration_ms"]) == ("quorate.v1.S/M", "OK", 500.0)
    assert (told["tokens"], told["prompt_tokens"], told["key"]) == (3, 7, "op")
    assert told["peer"] == "ipv4:127.0.0.1:9"
    assert told["first_token_ms"] >= 0
    assert (other["reason"], other["field"]) == ("INVALID_FIELD", "plan.x\nstatus=OK")
    assert caplog.messages[1] == (
        "method=quorate.v1.S/M status=INVALID_ARGUMENT reason=INVALID_FIELD "
        'field="plan.x\\nstatus=OK" duration_ms=1.0 request_id="r2" models=[]'
    )
