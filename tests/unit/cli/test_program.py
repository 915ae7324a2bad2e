from __future__ import annotations

import errno
import io
import json
import subprocess
import sys

import pytest

from quorate.cli.failures import failure_of
from quorate.cli.json_lines import event_line
from quorate.cli.load_lines import status_line
from quorate.cli.load_view import JsonView, PlainView
from quorate.cli.members import Member, parse_member
from quorate.cli.plan_words import notable_manner
from quorate.cli.program import run
from quorate.cli.question import read_prompt
from quorate.cli.summary import summary_line, tokens_per_second
from quorate.client import ServiceError
from quorate.errors import Internal, SettingsError
from quorate.fleet.status import ModelState, ModelStatus
from quorate.v1 import inference_pb2, plan_pb2
from quorate_registry import RegistryError


def test_help_and_the_package_load_nothing_heavy() -> None:
    program = (
        "import sys; from quorate.cli.program import run; run(['--help']);"
        "heavy = {'grpc', 'rich', 'numpy', 'jinja2', 'llama_cpp', 'huggingface_hub', 'asyncio',"
        " 'quorate.app', 'quorate.client', 'quorate_registry'};"
        "sys.exit(','.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    for command in (
        "serve",
        "generate",
        "explain",
        "score",
        "spend",
        "calibrate",
        "models",
        "demo",
    ):
        assert command in done.stdout


def test_version_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("quorate 0.")


def test_an_unknown_command_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["sevre"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("quorate: No such command 'sevre'")
    assert told.endswith("see: quorate --help\n")


@pytest.mark.parametrize(
    ("error", "text", "code"),
    [
        (Internal("two\n  lines"), "quorate: two lines", 1),
        (SettingsError("key: wrong"), "quorate: key: wrong", 2),
        (RegistryError("no file"), "quorate: no file", 1),
        (
            ZeroDivisionError("division by zero"),
            "quorate: ZeroDivisionError: division by zero; set QUORATE_DEBUG=1 for the traceback",
            1,
        ),
    ],
)
def test_every_failure_ends_as_one_line(error: Exception, text: str, code: int) -> None:
    failure = failure_of(error)
    assert (failure.text, failure.exit_code) == (text, code)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", Member("a")),
        ("a:0.3", Member("a", 0.3)),
        ("a:b", Member("a:b")),
        ("a:b:2", Member("a:b", 2.0)),
        ("./x.gguf:1e-1", Member("./x.gguf", 0.1)),
    ],
)
def test_a_member_may_carry_its_weight(text: str, expected: Member) -> None:
    assert parse_member(text) == expected


@pytest.mark.parametrize("text", ["", ":1", "a:inf", "a:-0.1"])
def test_a_member_without_a_name_or_with_an_unusable_weight_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="--model"):
        parse_member(text)


def test_json_has_text_for_bytes_and_the_exact_bytes_where_they_are_not_utf8() -> None:
    delta = inference_pb2.Delta(
        tokens=[
            inference_pb2.Token(piece=b"\xe4", logprob=-0.5),
            inference_pb2.Token(piece=b"ok", token_id=7, logprob=float("-inf")),
        ]
    )
    fields = json.loads(event_line(inference_pb2.GenerateResponse(delta=delta)))
    first, second = fields["tokens"]
    assert fields["event"] == "delta"
    assert (first["piece"], first["piece_hex"], first["token_id"]) == ("\ufffd", "e4", None)
    assert (second["piece"], second["token_id"], second["logprob"]) == ("ok", 7, None)
    assert "piece_hex" not in second


def test_json_writes_enums_in_lower_case_without_their_prefix() -> None:
    decision = plan_pb2.Decision(rule=plan_pb2.COMBINATION_RULE_GEOMETRIC, seed=2**63)
    response = inference_pb2.GenerateResponse(accepted=inference_pb2.Accepted(decision=decision))
    fields = json.loads(event_line(response))["decision"]
    assert (fields["rule"], fields["alignment"], fields["seed"]) == (
        "geometric",
        "unspecified",
        2**63,
    )


def test_the_summary_has_speed_members_and_seed() -> None:
    usage = inference_pb2.Usage(
        generated_tokens=11, time_to_first_token_ms=100.0, duration_ms=600.0
    )
    finished = inference_pb2.Finished(reason=inference_pb2.FINISH_REASON_MAX_TOKENS, usage=usage)
    decision = plan_pb2.Decision(
        members=[plan_pb2.Member(model="a", weight=0.75), plan_pb2.Member(model="b", weight=0.25)],
        rule=plan_pb2.COMBINATION_RULE_LINEAR,
        seed=7,
    )
    assert summary_line(decision, finished) == (
        "11 tokens · first after 100 ms · 20.0 tokens/s · cut at the token limit · "
        "a 0.75 + b 0.25, linear · seed 7"
    )


def test_the_summary_counts_words_and_tells_alignment_and_weighting_of_a_byte_exact_vote() -> None:
    usage = inference_pb2.Usage(
        generated_tokens=11, time_to_first_token_ms=100.0, duration_ms=600.0
    )
    decision = plan_pb2.Decision(
        members=[plan_pb2.Member(model="a", weight=0.5), plan_pb2.Member(model="b", weight=0.5)],
        rule=plan_pb2.COMBINATION_RULE_GEOMETRIC,
        alignment=plan_pb2.ALIGNMENT_BYTE_EXACT,
        weighting=plan_pb2.WEIGHTING_BAYESIAN,
        seed=7,
    )
    assert summary_line(decision, inference_pb2.Finished(usage=usage)) == (
        "11 words · first after 100 ms · 20.0 words/s · "
        "a 0.5 + b 0.5, geometric, byte-exact, bayesian · seed 7"
    )


@pytest.mark.parametrize(
    ("alignment", "weighting", "told"),
    [
        ("SAME_VOCABULARY", "STATIC", "linear"),
        ("SAME_VOCABULARY", "PROMPT", "linear, prompt"),
        ("UNION_TOP_K", "STATIC", "linear, union-top-k"),
        ("BYTE_EXACT", "STATIC", "linear, byte-exact"),
    ],
)
def test_a_summary_leaves_out_what_everybody_expects(
    alignment: str, weighting: str, told: str
) -> None:
    decision = plan_pb2.Decision(
        rule=plan_pb2.COMBINATION_RULE_LINEAR,
        alignment=plan_pb2.Alignment.Value(f"ALIGNMENT_{alignment}"),
        weighting=plan_pb2.Weighting.Value(f"WEIGHTING_{weighting}"),
    )
    assert notable_manner(decision) == told


def test_one_token_has_no_speed() -> None:
    usage = inference_pb2.Usage(generated_tokens=1, time_to_first_token_ms=5.0, duration_ms=5.0)
    assert tokens_per_second(usage) is None


def test_load_lines_tell_a_state_once_and_skip_progress(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = PlainView()
    for progress in (None, 0.1, 0.9):
        view.show(ModelStatus("a", ModelState.LOADING, "scripted", progress=progress))
    view.show(ModelStatus("a", ModelState.READY, "scripted", context_length=64))
    assert capsys.readouterr().out == "a: loading\na: ready, context 64, scripted\n"


def test_load_events_have_exactly_the_keys_that_programs_rely_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = JsonView()
    view.listening("127.0.0.1:1", ["a"])
    status = ModelStatus("a", ModelState.LOADING, "scripted", progress=0.5)
    view.show(status)
    view.show(status)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "listening", "address": "127.0.0.1:1"},
        {"event": "model", "model": "a", "state": "loading", "message": "", "progress": 0.5},
    ]


def test_a_failed_model_is_told_with_its_cause() -> None:
    status = ModelStatus("a", ModelState.FAILED, "llama_cpp", message="wrong magic")
    assert status_line(status) == "a: failed: wrong magic"


def test_a_full_disk_behind_the_output_is_told_in_one_line() -> None:
    failure = failure_of(OSError(errno.ENOSPC, "No space left on device"))
    assert failure.text == "quorate: no space is left where the output goes"
    assert failure.exit_code == 1


@pytest.mark.parametrize(
    ("retry_after_seconds", "text"),
    [
        (None, "quorate: budget of usd per day: spent"),
        (5400.0, "quorate: budget of usd per day: spent; try again in 1.5 h"),
    ],
)
def test_a_spent_budget_is_told_with_the_time_to_try_again(
    retry_after_seconds: float | None, text: str
) -> None:
    error = ServiceError(
        "RESOURCE_EXHAUSTED",
        "budget of usd per day: spent",
        retry_after_seconds=retry_after_seconds,
    )
    assert failure_of(error).text == text


def test_an_empty_standard_input_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(SettingsError, match="standard input is empty"):
        read_prompt("-")
