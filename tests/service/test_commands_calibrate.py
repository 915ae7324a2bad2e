from __future__ import annotations

import json
import math
import signal
from pathlib import Path
from typing import Any

import pytest

from quorate.calibration.answers import AnswerFile, answer_key
from quorate.calibration.file import load
from quorate.calibration.grading import Case, Match
from quorate.cli.calibrating import ask_all, plans_of
from quorate.client import Client, ServiceError
from quorate.request import WeightedModel
from quorate.routing.quality import Tally
from support.command_line import Ask, Serving, remarks, started
from support.whole_service import scripted, whole_service

CONFIG = """
[server]
listen = "127.0.0.1:0"

[[models]]
id = "knows"
engine = "scripted"
options = { say = "yes", seed = 1, confidence = 0.9 }

[[models]]
id = "guesses"
engine = "scripted"
options = { say = "no", seed = 2, confidence = 0.5 }

[[models]]
id = "slow"
engine = "scripted"
options = { say = "yes", seed = 3, step_delay_ms = 100 }

[profiles.pair]
members = [{ model = "knows", weight = 0.8 }, { model = "guesses", weight = 0.2 }]

[profiles.steps]
stages = [{ members = ["guesses"], confidence = 0.99 }, { members = ["knows"] }]
"""
PAIR = "ensemble:knows+guesses:same_vocabulary:static"


def write_dataset(folder: Path, count: int = 24) -> None:
    """Questions whose answer is yes, but for one of the second task."""
    lines = [
        {
            "id": f"q{index}",
            "prompt": f"Is {index} a number?",
            "answer": "No" if index == 1 else ["Yes", "Yes, it is"],
            "match": "exact",
            "kind": "even" if index % 2 == 0 else "odd",
        }
        for index in range(count)
    ]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in lines))


def calibrate(ask: Ask, *options: str) -> tuple[int, list[dict[str, Any]], list[str]]:
    done = ask(
        *("calibrate", "questions.jsonl", "--task-field", "kind", "--max-tokens", "8", "--json"),
        *options,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, events, remarks(done.stderr)


def accuracies(events: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[int, int]]:
    return {
        (event["name"], event["task"]): (event["right"], event["cases"])
        for event in events
        if event["event"] == "accuracy"
    }


def test_models_alone_and_their_vote_are_graded_and_what_was_found_is_kept_for_the_server(
    ask: Ask, tmp_path: Path
) -> None:
    write_dataset(tmp_path)
    code, events, errors = calibrate(ask, "--model", "knows:0.8", "--model", "guesses:0.2")
    assert (code, errors[-1]) == (0, "72 of 72 answers")
    assert accuracies(events) == {
        ("knows", ""): (23, 24),
        ("knows", "even"): (12, 12),
        ("knows", "odd"): (11, 12),
        ("guesses", ""): (1, 24),
        ("guesses", "even"): (0, 12),
        ("guesses", "odd"): (1, 12),
        ("knows + guesses", ""): (23, 24),
        ("knows + guesses", "even"): (12, 12),
        ("knows + guesses", "odd"): (11, 12),
    }
    verdict = next(event for event in events if event["event"] == "verdict")
    assert verdict["best_member"] == "knows"
    assert verdict["verdict"] == "cannot be told with 24 cases"
    weights = next(event for event in events if event["event"] == "weights")["weights"]
    assert weights["knows"] > 0.95

    data = load(tmp_path / "home" / "calibration.json")
    assert data.notes == ()
    assert set(data.sources) == {"single:knows", "single:guesses", PAIR}
    assert data.quality_measured["single:knows", ""] == Tally(23.0, 24.0)
    assert data.quality_measured[PAIR, "odd"] == Tally(11.0, 12.0)
    # It is mostly wrong, so that sureness of half the probability is far too much.
    assert data.confidences.calibrations["single:guesses", ""].cases == 24
    source = data.sources["single:knows"]
    assert (source.dataset, source.cases) == ("questions.jsonl", 24)
    assert source.models == {"knows": "scripted letters, seed 1"}


def test_without_names_every_model_and_every_profile_is_asked(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    code, events, _ = calibrate(ask, "--concurrency", "4", "--output", "found.json")
    assert code == 0
    whole = {name: right for (name, task), (right, _) in accuracies(events).items() if not task}
    assert whole == {
        "knows": 3,
        "guesses": 1,
        "slow": 3,
        "profile pair": 3,
        "profile steps": 3,
    }
    # A cascade is no vote; nothing is kept of it.
    assert set(load(tmp_path / "found.json").sources) == {
        "single:knows",
        "single:guesses",
        "single:slow",
        PAIR,
    }
    assert not (tmp_path / "home" / "calibration.json").exists()


def test_an_interrupted_calibration_goes_on_where_it_was(
    ask: Ask, server: Serving, tmp_path: Path
) -> None:
    write_dataset(tmp_path, 10)
    asked = ("calibrate", "questions.jsonl", "--model", "slow", "--max-tokens", "8", "--json")
    with started(tmp_path, *asked, "--target", server.address) as process:
        assert process.stderr is not None
        seen = ""
        while "3 of 10 answers" not in seen:
            seen = process.stderr.readline()
            assert seen
        process.send_signal(signal.SIGINT)
        out, rest = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "the answers so far are kept in questions.calibration.jsonl, run the same" in rest
    assert "Traceback" not in rest
    answers = tmp_path / "questions.calibration.jsonl"
    first = answers.read_text()
    assert not (tmp_path / "home" / "calibration.json").exists()

    code, events, errors = calibrate(ask, "--model", "slow")
    assert code == 0
    assert errors[0] == f"{len(first.splitlines())} of 10 answers"
    assert answers.read_text().startswith(first)
    assert len(answers.read_text().splitlines()) == 10
    assert accuracies(events)["slow", ""] == (9, 10)


def test_what_was_answered_is_not_asked_again_unless_told_so(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    answers = tmp_path / "questions.calibration.jsonl"
    assert calibrate(ask, "--model", "knows")[2][0] == "0 of 4 answers"
    first = answers.read_text()
    assert calibrate(ask, "--model", "knows")[2] == ["4 of 4 answers"]
    assert answers.read_text() == first
    assert calibrate(ask, "--model", "knows", "--restart")[2][0] == "0 of 4 answers"
    assert len(answers.read_text().splitlines()) == 4


def test_a_later_calibration_keeps_what_is_known_of_other_models(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    calibrate(ask, "--model", "knows")
    calibrate(ask, "--model", "guesses", "--limit", "2")
    data = load(tmp_path / "home" / "calibration.json")
    assert data.quality_measured["single:knows", ""] == Tally(3.0, 4.0)
    assert data.quality_measured["single:guesses", ""] == Tally(0.0, 2.0)


def test_a_wrong_line_is_one_error_and_what_is_there_stays(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    calibrate(ask, "--model", "knows")
    answers = (tmp_path / "questions.calibration.jsonl").read_text()
    known = load(tmp_path / "home" / "calibration.json")
    with (tmp_path / "questions.jsonl").open("a") as file:
        file.write('{"prompt": "And 5?", "answer": "yes", "match": "fuzzy"}\n')
    code, events, errors = calibrate(ask, "--model", "knows", "--restart")
    assert (code, events) == (2, [])
    assert errors == [
        "questions.jsonl: line 5: match is 'fuzzy'; give one of exact, choice, contains, numeric"
    ]
    assert (tmp_path / "questions.calibration.jsonl").read_text() == answers
    assert load(tmp_path / "home" / "calibration.json") == known


def test_a_broken_file_is_not_written_over_and_nothing_is_asked(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    (tmp_path / "found.json").write_text("{}")
    code, events, errors = calibrate(ask, "--output", "found.json")
    assert (code, events) == (2, [])
    assert errors == ["found.json: not a calibration of this version: version is not a count"]
    assert (tmp_path / "found.json").read_text() == "{}"
    assert not (tmp_path / "questions.calibration.jsonl").exists()


def test_a_profile_that_is_unknown_is_named(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    code, events, errors = calibrate(ask, "--profile", "pears")
    assert (code, events) == (1, [])
    assert "no profile named 'pears'; did you mean pair?" in errors[-1]


def test_a_pipe_gets_a_table_and_sentences(ask: Ask, tmp_path: Path) -> None:
    write_dataset(tmp_path, 4)
    done = ask(
        *("calibrate", "questions.jsonl", "--max-tokens", "8"),
        *("--model", "knows", "--model", "guesses"),
    )
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert " ".join(lines[0].split()) == "plan task cases right 95 % interval time energy"
    assert lines[1].split()[:4] == ["knows", "all", "4", "75.0"]
    assert "knows + guesses against knows, its best member: cannot be told with 4 cases" in (
        done.stdout
    )
    assert "[profiles.calibrated]\nmembers = [{ model = " in done.stdout
    assert lines[-1] == (
        f"written to {tmp_path}/home/calibration.json; the answers are kept in "
        "questions.calibration.jsonl"
    )


def case(number: int, prompt: str = "go on") -> Case:
    return Case(f"q{number}", (), f"{prompt} {number}", ("yes",), Match.EXACT)


async def kept_answers(
    client: Client, folder: Path, cases: list[Case], *models: str, concurrency: int = 1
) -> AnswerFile:
    """Asks the models' vote, and each of them alone, and returns what was kept."""
    plans = await plans_of(client, [WeightedModel(model) for model in models], [])
    with AnswerFile(folder / "answers.jsonl").open(restart=False) as answers:
        await ask_all(
            client,
            plans,
            cases,
            answers,
            max_tokens=8,
            concurrency=concurrency,
            progress=lambda done, total: None,
        )
    return answers


async def test_signals_are_those_of_the_stream(tmp_path: Path) -> None:
    models = scripted("a", say="yes", seed=1), scripted("b", say="yet", seed=2, confidence=0.3)
    async with whole_service(tmp_path, *models) as (_, client):
        plan = (await plans_of(client, [WeightedModel("a"), WeightedModel("b")], []))[-1]
        answers = await kept_answers(client, tmp_path, [case(1)], "a", "b")
        messages = [("user", "go on 1")]
        options: Any = {"models": ["a", "b"], "temperature": 0, "max_tokens": 8}
        events = client.generate(messages=messages, top_logprobs=5, votes=True, **options)
        tokens = [token async for event in events for token in event.delta.tokens]
    signals = answers.known[answer_key(case(1), plan.calibrated, 8)].signals
    assert signals is not None
    assert signals.mean_logprob == pytest.approx(
        sum(token.logprob for token in tokens) / len(tokens)
    )
    assert signals.least_logprob == pytest.approx(min(token.logprob for token in tokens))
    others = [any(vote.piece != token.piece for vote in token.votes) for token in tokens]
    assert any(others)
    assert signals.disagreement == pytest.approx(sum(others) / len(others))
    assert signals.log_prompt_bytes == pytest.approx(math.log1p(len("go on 1")))


async def test_a_question_that_does_not_fit_is_left_unanswered_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    async with whole_service(tmp_path, scripted("a", say="yes", context_length=64)) as (_, client):
        answers = await kept_answers(client, tmp_path, [case(1, "long " * 40), case(2)], "a")
    long, short = answers.known.values()
    assert "context" in long.problem
    assert (long.text, long.signals) == ("", None)
    assert (short.text, short.problem) == ("yes", "")


async def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    slow = scripted("a", say="yes", step_delay_ms=20)
    limits = {"max_running": 1, "max_waiting": 0}
    async with whole_service(tmp_path, slow, **limits) as (_, client):
        cases = [case(number) for number in range(4)]
        answers = await kept_answers(client, tmp_path, cases, "a", concurrency=2)
    assert [one.text for one in answers.known.values()] == ["yes"] * 4


async def test_what_the_server_refuses_ends_it_and_what_was_answered_stays(tmp_path: Path) -> None:
    async with whole_service(tmp_path, scripted("a", say="yes", chat=False)) as (_, client):
        chat = Case("q2", (("user", "go on"),), "", ("yes",), Match.EXACT)
        with pytest.raises(ServiceError, match="chat template"):
            await kept_answers(client, tmp_path, [case(1), chat], "a")
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 1


async def of_profile(client: Client, folder: Path, profile: str, cases: list[Case]) -> list[str]:
    """The texts of the answers of a profile, as they are graded."""
    [plan] = await plans_of(client, [], [profile])
    with AnswerFile(folder / "answers.jsonl").open(restart=False) as answers:
        await ask_all(
            client,
            [plan],
            cases,
            answers,
            max_tokens=8,
            concurrency=1,
            progress=lambda done, total: None,
        )
    return [one.text for one in answers.of(plan.calibrated, cases, 8).values()]


async def test_of_whole_answers_the_one_that_is_kept_is_graded_and_who_has_no_room_abstains(
    tmp_path: Path,
) -> None:
    models = (
        scripted("a", say="no"),
        scripted("b", say="yes"),
        scripted("c", say="yes", context_length=64),
    )
    agreed = {"answers": ["a", "b", "c"], "stream_early": True}
    sections = {"profiles": {"agreed": agreed}}
    async with whole_service(tmp_path, *models, sections=sections) as (_, client):
        cases = [case(1), case(2, "long " * 40)]
        texts = await of_profile(client, tmp_path, "agreed", cases)
    # Of the second question two are left, and of equal ones the first is kept.
    assert texts == ["yes", "no"]


async def test_samples_are_drawn_and_what_was_asked_of_others_before_is_known_again(
    tmp_path: Path,
) -> None:
    spread = scripted("a", say="maybe", confidence=0.3)
    sections = {"profiles": {"sampled": {"answers": ["a"], "samples": 3}}}
    async with whole_service(tmp_path, spread, sections=sections) as (_, client):
        [alone] = await plans_of(client, [WeightedModel("a")], [])
        [sampled] = await plans_of(client, [], ["sampled"])
        assert sampled.sampled and not alone.sampled
        assert sampled.calibrated.key != alone.calibrated.key
        # What a plan of one model is known by stays what it was before there were other kinds.
        assert alone.calibrated.key == "53d3975b033aed7d6deede2a"
        [text] = await of_profile(client, tmp_path, "sampled", [case(1)])
        greedy = await client.complete("go on 1", model="a", temperature=0.0, max_tokens=8)
    assert text and text != greedy
