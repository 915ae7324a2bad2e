"""One table of cases for the clients in Node, C++ and Go, over TLS and with a key."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from support.foreign_clients import LONG, TEXT, TOKENS, Ask, Begin, Guarded, ended

pytestmark = pytest.mark.clients

MISTAKES: dict[str, tuple[list[str], dict[str, Any], str, dict[str, str]]] = {
    "no key": (
        ["models"],
        {"token": None},
        "error: UNAUTHENTICATED: ",
        {"reason": "UNAUTHENTICATED"},
    ),
    "wrong key": (
        ["generate", "x"],
        {"token": "token-of-nobody"},
        "error: UNAUTHENTICATED: ",
        {"reason": "UNAUTHENTICATED"},
    ),
    "unknown model": (
        ["generate", "--model", "alfa", "x"],
        {},
        "error: NOT_FOUND: no model named 'alfa'; did you mean alpha?",
        {"reason": "NOT_FOUND", "name": "alfa", "nearest": "alpha", "request_id": ""},
    ),
    "unknown profile": (
        ["generate", "--profile", "pear", "x"],
        {},
        "error: NOT_FOUND: no profile named 'pear'; did you mean pair?",
        {"reason": "NOT_FOUND", "kind": "profile", "nearest": "pair"},
    ),
    "wrong field": (
        ["generate", "--max-tokens", "0", "x"],
        {},
        "error: INVALID_ARGUMENT: stopping.max_tokens: ",
        {"reason": "INVALID_FIELD", "wrong field": "stopping.max_tokens: "},
    ),
    "model that is named twice": (
        ["generate", "--model", "alpha", "--model", "alpha", "x"],
        {},
        "error: INVALID_ARGUMENT: plan.ensemble.members[1]",
        {"reason": "INVALID_FIELD", "wrong field": "plan.ensemble.members[1]"},
    ),
    "model that is not loaded": (
        ["generate", "--model", "asleep", "x"],
        {},
        "error: FAILED_PRECONDITION: asleep: is not loaded",
        {"reason": "MODEL_UNUSABLE", "subject": "asleep", "wrong subject": "asleep: is not loaded"},
    ),
    "budget that is spent": (
        ["generate", "x"],
        {"token": TOKENS["pauper"]},
        "error: RESOURCE_EXHAUSTED: budget of ",
        {"reason": "BUDGET_SPENT", "wrong budget": "joules ", "request_id": ""},
    ),
}


def test_an_answer_comes_as_text_with_its_end(ask: Ask) -> None:
    answer = ask("generate", "--model", "alpha", "--temperature", "0", "say it")
    assert (answer.code, answer.text) == (0, TEXT)
    (end,) = answer.told
    assert end.startswith("done: FINISH_REASON_END_OF_GENERATION, ")
    assert int(end.split()[-2]) > 0


def test_several_models_vote(ask: Ask) -> None:
    answer = ask("generate", "--model", "alpha", "--model", "beta", "--temperature", "0", "say it")
    assert (answer.code, answer.text) == (0, TEXT)


def test_without_a_plan_the_default_profile_answers_and_limits_hold(ask: Ask) -> None:
    answer = ask("generate", "--max-tokens", "3", "--temperature", "0", "say it")
    assert answer.code == 0
    assert TEXT.startswith(answer.text)
    assert 0 < len(answer.text) < len(TEXT)
    assert answer.told == ["done: FINISH_REASON_MAX_TOKENS, 3 tokens"]


def test_models_are_listed_with_their_states(ask: Ask) -> None:
    answer = ask("models")
    assert (answer.code, answer.told) == (0, [])
    states = dict(line.split("\t")[:2] for line in answer.text.splitlines())
    assert states["alpha"] == "MODEL_STATE_READY"
    assert states["asleep"] == "MODEL_STATE_UNLOADED"
    assert list(states)[:3] == ["alpha", "beta", "slow"]


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_what_the_server_refuses_is_decoded(mistake: str, ask: Ask) -> None:
    arguments, identity, message, facts = MISTAKES[mistake]
    answer = ask(*arguments, **identity)
    assert (answer.code, answer.text) == (1, "")
    assert answer.told[0].startswith(message)
    told = {name: answer.facts.get(name) for name in facts}
    for name, begins in facts.items():
        assert (told[name] or "(not told)").startswith(begins), told
        assert told[name] is not None, told


def test_a_window_that_never_holds_so_much_asks_nobody_to_come_back(ask: Ask) -> None:
    answer = ask("generate", "x", token=TOKENS["pauper"])
    assert answer.facts.get("retry after") is None


def test_a_model_that_dies_in_the_middle_ends_the_text_with_a_reason(
    ask: Ask, language: str
) -> None:
    answer = ask("generate", "--profile", f"fragile-{language}", "--temperature", "0", "x")
    assert answer.code == 1
    assert LONG.startswith(answer.text)
    assert answer.text
    assert answer.told[0].startswith(f"error: UNAVAILABLE: model fragile-{language}: ")
    assert answer.facts["reason"] == "WORKER_LOST"
    amount, unit = answer.facts["retry after"].split()
    assert (int(amount) > 0, unit) == (True, "ms")


def test_a_server_whose_certificate_nobody_vouches_for_is_not_talked_to(
    ask: Ask, guarded: Guarded
) -> None:
    answer = ask("generate", "x", ca=guarded.other_ca)
    assert (answer.code, answer.text) == (1, "")
    assert answer.told[0].startswith("error: UNAVAILABLE: ")
    assert "certificate" in answer.told[0].lower()


def test_plain_text_to_a_server_with_tls_fails(ask: Ask) -> None:
    answer = ask("models", token=None, ca=None)
    assert (answer.code, answer.text) == (1, "")
    assert answer.told[0].startswith("error: UNAVAILABLE: ")


def test_a_token_never_goes_out_in_plain_text(ask: Ask) -> None:
    answer = ask("generate", "x", ca=None)
    assert (answer.code, answer.text) == (1, "")
    assert answer.told == ["error: a token is sent over TLS alone: name the certificates to trust"]


def test_a_deadline_ends_the_answer_and_frees_the_place(ask: Ask) -> None:
    answer = ask("generate", "--model", "slow", "--timeout-ms", "1500", "x")
    assert answer.code == 1
    assert LONG.startswith(answer.text)
    assert answer.told[0].startswith("error: DEADLINE_EXCEEDED: ")
    # The model has one place, and the answer would have held it for a minute.
    assert short_answer_of_slow(ask)


def test_an_interrupt_cancels_the_answer_and_frees_the_place(begin: Begin, ask: Ask) -> None:
    process = begin("generate", "--model", "slow", "--temperature", "0", "x")
    assert process.stdout is not None
    assert process.stdout.read(2) == LONG[:2]
    process.send_signal(signal.SIGINT)
    answer = ended(process)
    assert (answer.code, answer.told) == (130, ["cancelled"])
    assert LONG.startswith(LONG[:2] + answer.text)
    assert short_answer_of_slow(ask)


def short_answer_of_slow(ask: Ask) -> bool:
    limits = ["--max-tokens", "2", "--temperature", "0", "--timeout-ms", "30000"]
    answer = ask("generate", "--model", "slow", *limits, "x")
    return (answer.code, answer.told) == (0, ["done: FINISH_REASON_MAX_TOKENS, 2 tokens"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["generate"],
        ["sing", "x"],
        ["models", "--loud", "1"],
        ["models", "--timeout-ms", "0"],
        ["generate", "--timeout-ms"],
        ["generate", "--max-tokens", "many", "x"],
    ],
)
def test_words_that_make_no_sense_are_told_how_to_ask(ask: Ask, arguments: list[str]) -> None:
    answer = ask(*arguments)
    assert (answer.code, answer.text) == (2, "")
    assert "usage" in "\n".join(answer.told).lower()
