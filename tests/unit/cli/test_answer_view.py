from __future__ import annotations

import json
from typing import Any

import pytest

from quorate.cli.views.answer import TextAnswer, summary_line, tokens_per_second
from quorate.cli.views.decisions import notable_manner
from quorate.cli.views.json_lines import response_line
from quorate.cli.views.writers import PlainWriter, TerminalWriter, Writer
from quorate.v1 import inference_pb2, plan_pb2
from support.terminal import Capture, shown_by

CASCADE = plan_pb2.Decision(
    kind=plan_pb2.PLAN_KIND_CASCADE,
    members=[{"model": "small", "weight": 1}],
    stages=[
        {"decision": {"members": [{"model": "small", "weight": 1}], "seed": 1}, "confidence": 0.7},
        {"decision": {"members": [{"model": "big", "weight": 1}], "seed": 2}},
    ],
)
SINGLE = plan_pb2.Decision(members=[{"model": "small", "weight": 1}])


def accepted(decision: plan_pb2.Decision) -> inference_pb2.GenerateResponse:
    return inference_pb2.GenerateResponse(accepted={"decision": decision})


def delta(text: str) -> inference_pb2.GenerateResponse:
    return inference_pb2.GenerateResponse(
        delta={"text": text, "tokens": [{"piece": text.encode(), "token_id": 1}]}
    )


def notice(
    kind: inference_pb2.NoticeKind = inference_pb2.NOTICE_KIND_ESCALATED,
) -> inference_pb2.GenerateResponse:
    return inference_pb2.GenerateResponse(notice={"kind": kind, "message": "it gives way"})


def finished() -> inference_pb2.GenerateResponse:
    return inference_pb2.GenerateResponse(finished={})


def shown(writer: Writer, *responses: inference_pb2.GenerateResponse) -> TextAnswer:
    view = TextAnswer(writer, votes=False, candidates=False)
    for response in responses:
        view.show(response)
    return view


def on_terminal(*responses: inference_pb2.GenerateResponse) -> str:
    return shown_by(lambda console: shown(TerminalWriter(console), *responses), 60)


def test_a_pipe_gets_an_answer_that_is_kept_only_once_it_is(capsys: Capture) -> None:
    view = shown(PlainWriter(), accepted(CASCADE), delta("sure "), delta("enough"))
    assert capsys.readouterr().out == ""
    view.show(finished())
    view.close()
    assert capsys.readouterr() == ("sure enough\n", "")


def test_a_pipe_never_sees_what_was_replaced_and_streams_the_last_stage(capsys: Capture) -> None:
    view = shown(PlainWriter(), accepted(CASCADE), delta("wrong"), notice(), delta("right"))
    assert capsys.readouterr() == ("right", "[it gives way]\n")
    view.show(delta(" answer"))
    view.show(finished())
    assert capsys.readouterr().out == " answer\n"


def test_an_answer_of_a_form_that_was_cut_is_told_not_to_be_whole(capsys: Capture) -> None:
    cut = inference_pb2.GenerateResponse(
        finished={"reason": inference_pb2.FINISH_REASON_MAX_TOKENS}
    )
    note = "[the answer was cut at the token limit, before it was whole]\n"
    for held, told in ((True, note), (False, "")):
        view = TextAnswer(PlainWriter(), votes=False, candidates=False, held=held)
        for event in (accepted(SINGLE), delta('{"a"'), cut):
            view.show(event)
        assert capsys.readouterr() == ('{"a"\n', told)


def test_an_answer_that_breaks_off_before_it_is_kept_leaves_nothing(capsys: Capture) -> None:
    shown(PlainWriter(), accepted(CASCADE), delta("half")).close()
    assert capsys.readouterr().out == ""


def test_a_plan_without_stages_streams_at_once(capsys: Capture) -> None:
    shown(PlainWriter(), accepted(SINGLE), delta("now"))
    assert capsys.readouterr().out == "now"


def test_what_another_plan_answers_instead_is_held_back_too(capsys: Capture) -> None:
    fell_back = notice(inference_pb2.NOTICE_KIND_FELL_BACK)
    view = shown(PlainWriter(), accepted(SINGLE), fell_back, delta("wrong"), notice())
    view.show(delta("right"))
    view.show(finished())
    assert capsys.readouterr().out == "right\n"


def test_a_terminal_keeps_what_was_replaced_above_a_line_that_says_so() -> None:
    first, told, last = on_terminal(
        accepted(CASCADE), delta("wrong"), notice(), delta("right"), finished()
    ).splitlines()
    assert (first, last) == ("wrong", "right")
    assert "replaced by what follows" in told


def test_the_text_of_a_remote_does_not_wait_for_tokens() -> None:
    text = inference_pb2.GenerateResponse(delta={"text": "from afar"})
    assert on_terminal(accepted(plan_pb2.Decision(remote="cloud")), text) == "from afar"


def test_reasoning_is_shown_on_a_terminal_and_kept_out_of_a_pipe(capsys: Capture) -> None:
    told = (
        inference_pb2.GenerateResponse(delta={"reasoning": "", "tokens": [{"piece": b"<think>"}]}),
        inference_pb2.GenerateResponse(delta={"reasoning": "why ", "tokens": [{"piece": b"why "}]}),
        delta("so"),
    )
    assert on_terminal(accepted(SINGLE), *told, finished()) == "why so\n"
    view = shown(PlainWriter(), accepted(SINGLE), *told)
    view.show(finished())
    assert capsys.readouterr().out == "so\n"


def test_a_terminal_is_told_nothing_where_nothing_was_shown() -> None:
    assert on_terminal(accepted(CASCADE), notice(), delta("right"), finished()) == "right\n"


def test_why_a_remote_answers_is_told_in_a_pipe_unless_a_notice_tells_it(capsys: Capture) -> None:
    decision = plan_pb2.Decision(
        kind=plan_pb2.PLAN_KIND_REMOTE,
        remote="cloud",
        candidates=[
            {"name": "single:a", "rejections": [{"clause": plan_pb2.CLAUSE_FAILED_BEFORE}]},
            {"name": "remote:cloud", "chosen": True},
        ],
        over_budget={"clause": plan_pb2.CLAUSE_LATENCY, "message": "too slow by 5 ms"},
    )
    shown(PlainWriter(), accepted(decision))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["[over budget: too slow by 5 ms; remote cloud answers]"]
    decision.instead_of = "single:a"
    substituted = inference_pb2.Notice(
        kind=inference_pb2.NOTICE_KIND_SUBSTITUTED,
        message="remote:cloud answers instead of single:a: too slow by 5 ms",
    )
    shown(
        PlainWriter(),
        accepted(decision),
        inference_pb2.GenerateResponse(notice=substituted),
    )
    assert capsys.readouterr().err.splitlines() == [f"[{substituted.message}]"]


def test_the_votes_are_those_of_the_stage_that_answered(capsys: Capture) -> None:
    decision = plan_pb2.Decision()
    decision.CopyFrom(CASCADE)
    decision.stages[1].decision.members.add(model="bigger", weight=1)
    votes = [
        {"model": "big", "piece": b"x", "weight": 1},
        {"model": "bigger", "piece": b"y", "weight": 1},
    ]
    token = {"piece": b"x", "token_id": 1, "votes": votes}
    view = TextAnswer(PlainWriter(), votes=True, candidates=False)
    events = (
        accepted(decision),
        delta("wrong"),
        notice(),
        inference_pb2.GenerateResponse(delta={"text": "x", "tokens": [token]}),
        inference_pb2.GenerateResponse(
            finished={
                "usage": {
                    "models": [
                        {"model": "big", "energy": {"joules": 2, "tier": 1}},
                        {"model": "bigger", "energy": {"tier": 3}},
                    ]
                }
            }
        ),
    )
    for event in events:
        view.show(event)
    told = capsys.readouterr().err
    assert "A big, weight 1, 2.00 J measured" in told
    assert "B bigger, weight 1, energy unknown" in told
    assert "agreed on 0 of 1 token" in told


def usage(**energy: float) -> inference_pb2.Usage:
    return inference_pb2.Usage(
        generated_tokens=11,
        time_to_first_token_ms=100.0,
        duration_ms=600.0,
        models=[
            {"model": model, "energy": {"joules": joules, "tier": 2}}
            for model, joules in energy.items()
        ],
    )


def test_the_summary_has_the_energy_and_the_stage_that_answered_and_no_speed_of_a_held_answer() -> (
    None
):
    end = inference_pb2.Finished(usage=usage(small=0.5, big=1.0))
    assert summary_line(CASCADE, end, 1) == (
        "11 tokens · first after 100 ms · 1.50 J estimated · small → big, stage 2 answered · seed 2"
    )


def test_the_summary_has_dollars_where_any_were_charged_and_how_the_plan_was_chosen() -> None:
    decision = plan_pb2.Decision(
        remote="cloud", candidates=[{"name": "remote:cloud"}, {"name": "single:a"}]
    )
    spent = inference_pb2.Usage(
        generated_tokens=1, models=[{"model": "cloud", "usd": 0.0012, "energy": {"tier": 3}}]
    )
    assert summary_line(decision, inference_pb2.Finished(usage=spent)) == (
        "1 token · energy unknown · $0.0012 · remote cloud · chosen from 2 plans"
    )


def test_json_has_text_for_bytes_and_the_exact_bytes_where_they_are_not_utf8() -> None:
    delta = inference_pb2.Delta(
        tokens=[
            inference_pb2.Token(piece=b"\xe4", logprob=-0.5),
            inference_pb2.Token(piece=b"ok", token_id=7, logprob=float("-inf")),
        ]
    )
    fields = json.loads(response_line(inference_pb2.GenerateResponse(delta=delta)))
    first, second = fields["tokens"]
    assert fields["event"] == "delta"
    assert (first["piece"], first["piece_hex"], first["token_id"]) == ("\ufffd", "e4", None)
    assert (second["piece"], second["token_id"], second["logprob"]) == ("ok", 7, None)
    assert "piece_hex" not in second


def test_json_writes_enums_in_lower_case_without_their_prefix() -> None:
    decision = plan_pb2.Decision(rule=plan_pb2.COMBINATION_RULE_GEOMETRIC, seed=2**63)
    response = inference_pb2.GenerateResponse(accepted=inference_pb2.Accepted(decision=decision))
    fields = json.loads(response_line(response))["decision"]
    assert (fields["rule"], fields["alignment"], fields["seed"]) == (
        "geometric",
        "unspecified",
        2**63,
    )


@pytest.mark.parametrize(
    ("decision", "reason", "told"),
    [
        (
            {"weights": (0.75, 0.25), "rule": plan_pb2.COMBINATION_RULE_LINEAR},
            inference_pb2.FINISH_REASON_MAX_TOKENS,
            "11 tokens · first after 100 ms · 20.0 tokens/s · cut at the token limit · "
            "a 0.75 + b 0.25, linear · seed 7",
        ),
        (
            {
                "weights": (0.5, 0.5),
                "rule": plan_pb2.COMBINATION_RULE_GEOMETRIC,
                "alignment": plan_pb2.ALIGNMENT_BYTE_EXACT,
                "weighting": plan_pb2.WEIGHTING_BAYESIAN,
            },
            inference_pb2.FINISH_REASON_UNSPECIFIED,
            "11 words · first after 100 ms · 20.0 words/s · "
            "a 0.5 + b 0.5, geometric, byte-exact, bayesian · seed 7",
        ),
    ],
    ids=["tokens", "words"],
)
def test_the_summary_has_speed_what_cut_it_members_manner_and_seed(
    decision: dict[str, Any], reason: inference_pb2.FinishReason, told: str
) -> None:
    members = zip("ab", decision.pop("weights"), strict=True)
    voted = plan_pb2.Decision(
        members=[{"model": model, "weight": weight} for model, weight in members],
        seed=7,
        **decision,
    )
    assert summary_line(voted, inference_pb2.Finished(reason=reason, usage=usage())) == told


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
