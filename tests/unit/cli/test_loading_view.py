from __future__ import annotations

import json

from quorate.cli.views.loading import JsonView, PlainView, WaitingLines, status_line
from quorate.fleet.status import ModelState, ModelStatus
from support.terminal import Capture


def test_load_lines_tell_a_state_once_and_skip_progress(capsys: Capture) -> None:
    view = PlainView()
    for progress in (None, 0.1, 0.9):
        view.show(ModelStatus("a", ModelState.LOADING, "scripted", progress=progress))
    view.show(ModelStatus("a", ModelState.READY, "scripted", context_length=64))
    assert capsys.readouterr().out == "a: loading\na: ready, context 64, scripted\n"


def test_load_events_have_exactly_the_keys_that_programs_rely_on(capsys: Capture) -> None:
    view = JsonView()
    view.listening("127.0.0.1:1", ["a"])
    status = ModelStatus("a", ModelState.LOADING, "scripted", progress=0.5)
    view.show(status)
    view.show(status)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "listening", "address": "127.0.0.1:1", "http": "", "models": ["a"]},
        {"event": "model", "id": "a", "state": "loading", "message": "", "progress": 0.5},
    ]


def test_it_is_said_once_that_everything_has_arrived_and_what_has_not(capsys: Capture) -> None:
    PlainView().settled(["a"], ["b"])
    PlainView().settled([], [])
    JsonView().settled(["a"], [])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["serving a; failed: b", "serving no model"]
    assert json.loads(lines[2]) == {"event": "ready", "models": ["a"], "failed": []}


def test_whoever_waits_in_a_pipe_is_told_what_for(capsys: Capture) -> None:
    view = WaitingLines()
    view.show(ModelStatus("a", ModelState.LOADING, "llama_cpp"))
    for progress in (None, 0.1, 0.2):
        view.show(ModelStatus("a", ModelState.DOWNLOADING, "llama_cpp", progress=progress))
    view.show(ModelStatus("a", ModelState.LOADING, "llama_cpp", progress=0.0))
    view.show(ModelStatus("a", ModelState.READY, "llama_cpp"))
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", "a: downloading\na: loading\n")


def test_warnings_of_a_ready_model_stand_behind_it(capsys: Capture) -> None:
    status = ModelStatus(
        "a", ModelState.READY, "llama_cpp", context_length=64, warnings=("one", "two")
    )
    assert status_line(status) == "a: ready, context 64, llama_cpp; warning: one; warning: two"
    JsonView().show(status)
    assert json.loads(capsys.readouterr().out)["warnings"] == ["one", "two"]


def test_a_failed_model_is_told_with_its_cause() -> None:
    status = ModelStatus("a", ModelState.FAILED, "llama_cpp", message="wrong magic")
    assert status_line(status) == "a: failed: wrong magic"
