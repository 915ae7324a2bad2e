from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.calibration.dataset import read_dataset
from quorate.calibration.grading import Case, Match, is_right
from quorate.comparing import numbers_in
from quorate.errors import SettingsError

GOOD = {"prompt": "What is 2 plus 2?", "answer": "4", "match": "numeric"}


def dataset(folder: Path, *lines: Any) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in lines))
    return path


def test_lines_become_cases(tmp_path: Path) -> None:
    path = dataset(
        tmp_path,
        {**GOOD, "answer": [4, "4.0"], "kind": "sums", "domain": "school", "tolerance": 0.5},
        "",
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Go"},
            ],
            "answer": "b",
            "match": "choice",
            "id": 7,
            "remark": "columns that nobody knows are passed over",
        },
    )
    read = read_dataset(path, "kind")
    assert (read.name, read.sha256) == (
        "questions.jsonl",
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )
    assert read.cases == (
        Case("line 1", (), GOOD["prompt"], ("4", "4.0"), Match.NUMERIC, 0.5, "sums", "school"),
        Case("7", (("system", "Be brief."), ("user", "Go")), "", ("b",), Match.CHOICE),
    )
    assert read.cases[1].text == "Be brief.\nGo"


def test_a_key_changes_with_the_question_and_not_with_its_label(tmp_path: Path) -> None:
    first, same, other = read_dataset(
        dataset(tmp_path, GOOD, {**GOOD, "answer": "5"}, {**GOOD, "prompt": "What is 3 plus 1?"}),
        "task",
    ).cases
    assert first.key == same.key != other.key


def test_a_limit_takes_cases_from_the_whole_file(tmp_path: Path) -> None:
    lines = [{**GOOD, "id": f"q{index}"} for index in range(10)]
    read = read_dataset(dataset(tmp_path, *lines), "task")
    assert [case.id for case in read.spread(4)] == ["q0", "q2", "q5", "q7"]
    assert read.spread(10) == read.spread(99) == read.spread(None) == read.cases


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "is not JSON: Expecting property name enclosed in double quotes at column 2"),
        ("[" * 100_000, "is nested too deep"),
        ("[1]", "is no JSON object; write it in braces"),
        ({"answer": "4", "match": "exact"}, "must have either prompt or messages"),
        ({**GOOD, "messages": []}, "must have either prompt or messages"),
        ({**GOOD, "prompt": " "}, "prompt must be a text that is not empty"),
        ({**GOOD, "prompt": "\ud800"}, "prompt is not valid Unicode text"),
        (
            {"messages": [{"role": "user"}], "answer": "4", "match": "exact"},
            "messages[0].content must be a text that is not empty",
        ),
        (
            {**GOOD, "match": "fuzzy"},
            "match is 'fuzzy'; give one of exact, choice, contains, numeric",
        ),
        ({"prompt": "x", "match": "exact"}, "answer must be a text that is not empty"),
        ({**GOOD, "answer": []}, "answer must be a text, or a list with at least one"),
        ({**GOOD, "answer": "four"}, "answer must be a number where match is numeric"),
        ({**GOOD, "match": "choice"}, "answer must be a single letter where match is choice"),
        ({**GOOD, "tolerance": -1}, "tolerance must be finite and not negative"),
        ({**GOOD, "task": 3}, "task must be a text that is not empty"),
        ({**GOOD, "id": None}, "id must be a text or a whole number"),
        ({**GOOD, "id": "first"}, "id 'first' is that of line 1 as well"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_problem(
    tmp_path: Path, line: Any, problem: str
) -> None:
    path = dataset(tmp_path, {**GOOD, "id": "first"}, "", line)
    with pytest.raises(SettingsError) as raised:
        read_dataset(path, "task")
    assert raised.value.message.startswith(f"{path}: line 3: {problem}")
    assert "\n" not in raised.value.message


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "latin.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"prompt": "\xe9"}')
    with pytest.raises(SettingsError, match="line 2: is not UTF-8 text: byte 12"):
        read_dataset(path, "task")


def test_no_file_and_no_question_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_dataset(tmp_path / "none", "task")
    with pytest.raises(SettingsError, match="has no question"):
        read_dataset(dataset(tmp_path, " ", ""), "task")


def case(match: Match, *answers: str, tolerance: float | None = None) -> Case:
    return Case("1", (), "?", answers, match, tolerance)


@pytest.mark.parametrize(
    ("answer", "accepted", "right"),
    [
        ("  Paris.\n", "paris", True),
        ("«New   York»!", "new york", True),
        ("\N{FULLWIDTH LATIN CAPITAL LETTER P}aris", "Paris", True),
        ("It is Paris", "Paris", False),
        ("", "Paris", False),
    ],
)
def test_exact_passes_over_case_spaces_and_punctuation_at_the_ends(
    answer: str, accepted: str, right: bool
) -> None:
    assert is_right(answer, case(Match.EXACT, accepted)) is right


@pytest.mark.parametrize(
    ("answer", "chosen"),
    [
        ("B", "B"),
        ("(b)", "B"),
        ("The answer is C, not D.", "C"),
        ("I think it is D", "D"),
        ("I.", "I"),
        ("It's B", "B"),
        ("this is a question, so B", "B"),
        ("Because", None),
        ("", None),
    ],
)
def test_choice_is_the_first_letter_that_stands_alone(answer: str, chosen: str | None) -> None:
    letters = [letter for letter in "ABCDI" if is_right(answer, case(Match.CHOICE, letter))]
    assert letters == ([] if chosen is None else [chosen])


@pytest.mark.parametrize(
    ("answer", "accepted", "right"),
    [
        ("The capital is PARIS, of course.", "Paris", True),
        ("parisian", "Paris", False),
        ("New\nYork", "new york", True),
        ("It costs 112.50", "12.50", False),
        ("It costs 12.50.", "12.50", True),
        ("12.505", "12.50", False),
    ],
)
def test_contains_takes_whole_words(answer: str, accepted: str, right: bool) -> None:
    assert is_right(answer, case(Match.CONTAINS, accepted)) is right


def test_one_of_several_accepted_answers_is_enough() -> None:
    assert is_right("Kiev", case(Match.EXACT, "Kyiv", "Kiev"))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("12", [12.0]),
        ("2 + 2 = 4.", [2.0, 2.0, 4.0]),
        ("1,234,567.5 and 1'000 and 1_000", [1234567.5, 1000.0, 1000.0]),
        ("1,2", [1.0, 2.0]),
        ("-3 \N{MINUS SIGN}4 +5", [-3.0, -4.0, 5.0]),
        ("5-3", [5.0, 3.0]),
        ("$12.50", [12.5]),
        (".5 and 1e3 and 2E-1", [0.5, 1000.0, 0.2]),
        ("version 1.2.3", [1.2, 0.3]),
        ("none", []),
    ],
)
def test_numbers_are_found_with_separators_signs_and_exponents(
    text: str, numbers: list[float]
) -> None:
    assert numbers_in(text) == numbers


def test_the_last_number_counts_within_the_tolerance() -> None:
    assert is_right("2 plus 2 is 4", case(Match.NUMERIC, "4"))
    assert not is_right("4 is 2 plus 2", case(Match.NUMERIC, "4"))
    assert is_right("1,000.0005", case(Match.NUMERIC, "1000"))
    assert not is_right("1000.01", case(Match.NUMERIC, "1000"))
    assert is_right("3.1", case(Match.NUMERIC, "3.14", tolerance=0.05))
    assert not is_right("3.1", case(Match.NUMERIC, "3.14", tolerance=0.03))
    assert not is_right("none", case(Match.NUMERIC, "0"))
    assert not is_right("1e999", case(Match.NUMERIC, "1", tolerance=1e300))


@given(st.text(), st.sampled_from(Match))
def test_any_text_can_be_graded(text: str, match: Match) -> None:
    accepted = {Match.CHOICE: "A", Match.NUMERIC: "1"}.get(match, "x")
    assert is_right(text, case(match, accepted)) in (True, False)


@given(st.integers(-(10**12), 10**12))
def test_a_number_is_found_however_it_is_grouped(value: int) -> None:
    assert numbers_in(f"it is {value:,}") == [float(value)]
