from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command_line import TWO_MODELS, Ask, Serving, complaint, quorate, started

GREEDY = ("--temperature", "0", "--seed", "1")
CONFIG = f"""{TWO_MODELS}
[[models]]
id = "words"
engine = "scripted"
options = {{ vocabulary = "words", say = " yes two cats", seed = 3 }}

[[models]]
id = "base"
engine = "scripted"
options = {{ say = "yes then", seed = 4, chat = false }}
"""


@pytest.mark.parametrize(
    "model",
    [
        ("--model", "alpha"),
        ("--model", "/some/where/Alpha.gguf:1"),
        ("--model", "alpha", "--beam-epsilon", "0"),
    ],
    ids=["name", "path of a file that a server named so", "one member with details of a vote"],
)
def test_a_pipe_gets_the_answer_alone(ask: Ask, model: tuple[str, ...]) -> None:
    done = ask("generate", "go on", *model, *GREEDY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "yes indeed\n", "")


def test_whole_answers_vote_and_are_shown_with_who_gave_them(ask: Ask) -> None:
    members = ("--model", "alpha", "--model", "words", "--model", "base", "--answers", *GREEDY)
    done = ask("generate", "go on", *members, "--votes")
    assert (done.returncode, done.stdout) == (0, "yes indeed\n")
    for told in ("alpha", "words", "base", "0.33", "yes then"):
        assert told in done.stderr
    lines = ask("generate", "go on", *members, "--json").stdout.splitlines()
    outcome = json.loads(lines[-1])["outcome"]
    assert [one["model"] for one in outcome["answers"]] == ["alpha", "words", "base"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--model", "alpha", "--samples", "3"), "--samples belongs to --answers"),
        (("--answers",), "--answers needs members; name them with --model"),
        (("--answers", "--model", "alpha", "--rule", "majority"), "--rule is for votes on tokens"),
    ],
)
def test_options_of_whole_answers_are_refused_where_they_have_no_place(
    ask: Ask, options: tuple[str, ...], told: str
) -> None:
    assert told in complaint(ask("generate", "x", *options), 2)


def test_the_prompt_can_come_from_standard_input_and_the_target_from_the_environment(
    server: Serving, tmp_path: Path
) -> None:
    done = quorate(
        tmp_path,
        *("generate", "-", "--raw", "--model", "alpha", *GREEDY),
        stdin="go on",
        QUORATE_TARGET=server.address,
    )
    assert (done.returncode, done.stdout) == (0, "yes indeed\n")


@pytest.mark.parametrize(
    ("arguments", "form", "tokens"),
    [
        (("--model", "alpha"), "chat", 22),
        (("--model", "base"), "text", 6),
        (("--model", "alpha", "--model", "base"), "mixed", 22),
        (("--model", "alpha", "--raw"), "text", 6),
        (("--auto",), "chat", 22),
    ],
)
def test_the_server_says_who_reads_a_chat(
    ask: Ask, arguments: tuple[str, ...], form: str, tokens: int
) -> None:
    done = ask("generate", "go on", *arguments, *GREEDY, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[0]["decision"]["input_form"] == form
    assert events[0]["decision"].get("text_members", []) == [
        one for one in arguments if one == "base"
    ]
    assert events[-1]["usage"]["models"][0]["prompt_tokens"] == tokens


def test_a_system_message_means_nothing_to_a_model_without_a_template(ask: Ask) -> None:
    done = ask("generate", "go on", "--model", "base", "--system", "be kind")
    assert "model base: it has no chat template" in complaint(done, 1)


def test_special_tokens_of_a_raw_prompt_are_special_where_that_is_asked_for(ask: Ask) -> None:
    def prompt_tokens(*options: str) -> int:
        arguments = ("--raw", "--model", "alpha", *options, *GREEDY, "--json")
        last = ask("generate", "<|im_start|>go<|im_end|>", *arguments).stdout.splitlines()[-1]
        return int(json.loads(last)["usage"]["prompt_tokens"])

    assert prompt_tokens("--parse-special") == 5
    assert prompt_tokens() > 20


def test_weights_after_a_colon_decide_the_vote(ask: Ask) -> None:
    def answer(alpha: str, beta: str) -> str:
        members = ("--model", f"alpha:{alpha}", "--model", f"beta:{beta}")
        return ask("generate", "go", *members, *GREEDY).stdout

    assert answer("0.9", "0.1") == "yes indeed\n"
    assert answer("0.1", "0.9") == "yet another\n"


def test_json_lines_come_in_order_and_carry_the_votes(ask: Ask) -> None:
    done = ask(
        *("generate", "go on", "--model", "alpha:2", "--model", "beta", "--votes", "--top", "2"),
        *(*GREEDY, "--max-tokens", "4", "--json"),
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "finished"
    assert set(kinds[1:-1]) == {"delta"}
    decision = events[0]["decision"]
    assert decision["rule"] == "linear"
    assert [member["model"] for member in decision["members"]] == ["alpha", "beta"]
    assert [round(member["weight"], 3) for member in decision["members"]] == [0.667, 0.333]
    assert "".join(event["text"] for event in events[1:-1]) == "yes "
    tokens = [token for event in events[1:-1] for token in event["tokens"]]
    assert [vote["model"] for vote in tokens[0]["votes"]] == ["alpha", "beta"]
    assert [vote["piece"] for vote in tokens[2]["votes"]] == ["s", "t"]
    assert len(tokens[0]["top"]) == 2
    assert events[-1]["reason"] == "max_tokens"
    assert events[-1]["usage"]["generated_tokens"] == 4


def test_votes_in_a_pipe_go_to_standard_error(ask: Ask) -> None:
    done = ask(
        *("generate", "go on", "--model", "alpha:2", "--model", "beta", "--votes"),
        *(*GREEDY, "--max-tokens", "4"),
    )
    assert done.stdout == "yes \n"
    assert "A alpha, weight 0.67" in done.stderr
    assert "agreed on" in done.stderr
    assert max(map(len, done.stderr.splitlines())) <= 80
    assert "\x1b" not in done.stderr


def test_models_of_different_vocabularies_vote_on_words(ask: Ask) -> None:
    done = ask(
        *("generate", "go on", "--raw", "--model", "alpha", "--model", "words:3", "--votes"),
        *("--top", "2", *GREEDY, "--max-tokens", "8", "--json"),
        *("--forgetting", "0.5", "--beam-epsilon", "0", "--beam-width", "4"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    accepted, *deltas, finished = map(json.loads, done.stdout.splitlines())
    decision = accepted["decision"]
    assert (decision["alignment"], decision["weighting"]) == ("byte_exact", "bayesian")
    assert decision["forgetting"] == 0.5
    assert decision["beam"] == {"epsilon": 0.0, "width": 4}
    words = [token for event in deltas for token in event["tokens"]]
    assert "".join(token["piece"] for token in words) == "".join(event["text"] for event in deltas)
    assert {token["token_id"] for token in words} == {None}
    assert finished["usage"]["generated_tokens"] == len(words)
    for token in words:
        assert [vote["model"] for vote in token["votes"]] == ["alpha", "words"]
        assert sum(vote["weight"] for vote in token["votes"]) == pytest.approx(1)
        assert all(candidate["token_id"] is None for candidate in token["top"])


def test_the_votes_on_words_show_what_the_members_started_from(ask: Ask) -> None:
    done = ask(
        *("generate", "go on", "--raw", "--model", "alpha", "--model", "words:3", "--votes"),
        *(*GREEDY, "--max-tokens", "8"),
    )
    assert done.returncode == 0
    assert "A alpha, prior 0.25" in done.stderr
    assert "B words, prior 0.75" in done.stderr
    assert done.stderr.rstrip().endswith("words")
    assert max(map(len, done.stderr.splitlines())) <= 80


def test_auto_is_as_good_as_no_choice(ask: Ask) -> None:
    done = ask(
        *("generate", "go on", "--model", "alpha:2", "--model", "beta", *GREEDY, "--json"),
        *("--weighting", "auto", "--alignment", "auto"),
    )
    decision = json.loads(done.stdout.splitlines()[0])["decision"]
    assert (decision["alignment"], decision["weighting"]) == ("same_vocabulary", "static")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--model", "alpha:-1"), "--model alpha:-1: the weight must be finite"),
        (("--model", "alpha:nan"), "--model alpha:nan: the weight must be finite"),
        (("--model", "alpha:0"), "all weights are 0"),
        (("--model", "alpha", "--model", "alpha"), "named twice"),
        (("--rule", "linear"), "name them with --model"),
        (("--forgetting", "0.5"), "--forgetting belongs to members; name them with --model"),
        (("--model", "alpha", "--beam-width", "0"), "--beam-width"),
        (("--raw", "--system", "be kind"), "--system"),
        (("--parse-special",), "--parse-special belongs to a --raw prompt"),
        (("--profile", "p", "--model", "alpha"), "exclude each other"),
        (("--target", "nowhere"), "--target: must be HOST:PORT"),
        (("--temprature", "1"), "--temprature"),
        (("--rule", "loudest"), "--rule"),
        (("--max-tokens", "many"), "--max-tokens"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    misused: Callable[..., str], arguments: tuple[str, ...], told: str
) -> None:
    assert told in misused("generate", "x", *arguments)


def test_what_the_server_refuses_is_one_line_and_exit_code_1(ask: Ask) -> None:
    done = ask("generate", "x", "--model", "alpha", "--temperature", "-1")
    assert "temperature" in complaint(done, 1)
    done = ask("generate", "x", "--model", "alpa")
    assert complaint(done, 1) == "quorate: no model named 'alpa'; did you mean alpha?\n"


def test_a_target_where_nothing_listens_is_told(tmp_path: Path) -> None:
    done = quorate(tmp_path, "generate", "x", "--model", "a", "--target", "127.0.0.1:1")
    assert complaint(done, 1) == (
        "quorate: nothing listens at 127.0.0.1:1; start it with: quorate serve\n"
    )


def test_a_model_that_cannot_be_had_is_told_without_a_server(tmp_path: Path) -> None:
    done = quorate(tmp_path, "generate", "x", "--model", "qwen3-0.6")
    assert "qwen3-0.6b" in complaint(done, 1)


def test_a_pipe_is_told_what_is_loaded_here_and_why_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")
    done = quorate(tmp_path, "generate", "x", "--model", "./broken.gguf")
    first, last = done.stderr.splitlines()
    assert (done.returncode, done.stdout, first) == (1, "", "broken: loading")
    assert last.startswith("quorate: broken: ")


def test_a_reader_that_goes_away_is_no_complaint(server: Serving, tmp_path: Path) -> None:
    asked = ("generate", "x", "--model", "alpha", "--target", server.address)
    with started(tmp_path, *asked) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
        process.wait(60)
    assert complaint == ""
