from __future__ import annotations

from pathlib import Path

import pytest

from quorate.calibration.answers import Answer, AnswerFile, AnswerKey
from quorate.errors import SettingsError
from quorate.routing.confidence import Signals

KEY = AnswerKey("case", "plan", 16)
ANSWER = Answer("yes\n\N{EURO SIGN}", Signals(mean_logprob=-0.5), "", True, 12.5, 0.25, "measured")


def opened(path: Path, *, restart: bool = False) -> AnswerFile:
    return AnswerFile(path).open(restart=restart)


def test_answers_are_there_when_the_file_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    unanswered = Answer("", problem="prompt: is too long")
    with opened(path) as answers:
        answers.add(KEY, ANSWER)
        answers.add(AnswerKey("other", "plan", 16), unanswered)
        assert len(path.read_bytes().splitlines()) == 2
    with opened(path) as answers:
        assert answers.known == {KEY: ANSWER, AnswerKey("other", "plan", 16): unanswered}


def test_the_same_question_with_another_limit_is_another_answer(tmp_path: Path) -> None:
    with opened(tmp_path / "answers.jsonl") as answers:
        answers.add(KEY, ANSWER)
        assert AnswerKey("case", "plan", 32) not in answers.known


def test_a_line_that_was_cut_off_is_dropped_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with opened(path) as answers:
        answers.add(KEY, ANSWER)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    with opened(path) as answers:
        assert set(answers.known) == {KEY}
        answers.add(AnswerKey("next", "plan", 16), ANSWER)
    with opened(path) as answers:
        assert set(answers.known) == {KEY, AnswerKey("next", "plan", 16)}


def test_a_restart_begins_with_nothing(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with opened(path) as answers:
        answers.add(KEY, ANSWER)
    with opened(path, restart=True) as answers:
        assert answers.known == {}
    assert path.read_bytes() == b""


@pytest.mark.parametrize("line", ["{}", "[]", "not json", '{"format": 2}', '"text"'])
def test_another_kind_of_file_is_left_as_it_is(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(SettingsError, match=r"line 1 is no answer of a calibration.*--restart"):
        opened(path)
    assert path.read_text() == f"{line}\n"


def test_a_folder_that_is_missing_is_made(tmp_path: Path) -> None:
    with opened(tmp_path / "new" / "answers.jsonl") as answers:
        answers.add(KEY, ANSWER)
    assert len((tmp_path / "new" / "answers.jsonl").read_bytes().splitlines()) == 1


def test_a_place_where_no_file_can_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match="is a folder, not a file; name another file for the answers"
    ):
        opened(tmp_path)
