"""Plans that a calibration asks, and their answers, kept in a file so that it can be resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Self

from quorate.calibration.grading import Case
from quorate.errors import SettingsError
from quorate.files import refuse_no_file
from quorate.request import Plan
from quorate.routing.confidence import Signals

TEMPERATURE_OF_SAMPLES = 0.7
"""At which several answers of one model are drawn: at 0 all of them would be one."""

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class CalibratedPlan:
    """A plan that a calibration asks.

    Attributes:
        name: For people.
        key: Changes with anything that an answer depends on, the question and its limit left out.
        plan: Its members and how they vote; of a cascade those of its first stage.
        vote: Key of the vote, see ``forecast.vote_key``; "" for what is none.
        models: Description of each of its models, by id.
        answers: Key of a vote of whole answers, see ``snapshot.answers_key``; "" for what is none.
    """

    name: str
    key: str
    plan: Plan
    vote: str
    models: Mapping[str, str]
    answers: str = ""

    @property
    def quality_key(self) -> str:
        """The key that the server knows its quality by; "" for a cascade."""
        return self.vote or self.answers

    @property
    def members(self) -> tuple[str, ...]:
        """Ids of the models that vote in it."""
        return tuple(member.model for member in self.plan.members)


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """What an answer belongs to.

    Attributes:
        case: Key of the question.
        plan: Key of the plan.
        max_tokens: Most tokens that it was allowed.
    """

    case: str
    plan: str
    max_tokens: int


def answer_key(case: Case, plan: CalibratedPlan, max_tokens: int) -> AnswerKey:
    """What the answer of a plan to a question is kept under."""
    return AnswerKey(case.key, plan.key, max_tokens)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a plan answered to one question.

    Attributes:
        signals: What it tells of itself; None where there is no answer.
        problem: Why there is none, or "".
        cut: Whether the limit of tokens ended it.
        duration_ms: From the request's arrival to the end.
        joules: Energy of all models, or None where it is not known.
        tier: How the energy is known: ``measured``, ``estimated`` or ``unavailable``.
    """

    text: str
    signals: Signals | None = None
    problem: str = ""
    cut: bool = False
    duration_ms: float = 0.0
    joules: float | None = None
    tier: str = "unavailable"


class AnswerFile:
    """One JSON line for each answer; a line that was cut off at the end is dropped.

    The file is made, with its folder, where there is none.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[AnswerKey, Answer] = {}
        self._file: IO[bytes] | None = None

    def open(self, *, restart: bool) -> Self:
        """Opens it for more answers; ``restart`` throws away those that it has.

        Raises:
            SettingsError: It cannot be read or written, or is something else.
        """
        try:
            refuse_no_file(self.path, "name another file for the answers")
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("w+b" if restart else "a+b")
            try:
                self._resume(self._file)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise SettingsError(
                f"{self.path}: answers cannot be kept there: {error.strerror or error}; give "
                "another place with --output"
            ) from None
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def known(self) -> Mapping[AnswerKey, Answer]:
        """All answers so far."""
        return self._known

    def of(self, plan: CalibratedPlan, cases: Sequence[Case], max_tokens: int) -> dict[str, Answer]:
        """The answers of one plan by case id; there is one for each of the cases."""
        return {case.id: self._known[answer_key(case, plan, max_tokens)] for case in cases}

    def add(self, key: AnswerKey, answer: Answer) -> None:
        """Keeps an answer; it is in the hands of the operating system when this returns.

        Raises:
            SettingsError: It cannot be written.
        """
        if self._file is None:
            raise RuntimeError("the file of answers is not open")
        line = json.dumps({"format": _FORMAT, **asdict(key), **asdict(answer)})
        try:
            self._file.write(line.encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise SettingsError(
                f"{self.path}: cannot be written: {error.strerror}; free some space, or give "
                "another place with --output"
            ) from None
        self._known[key] = answer

    def _resume(self, file: IO[bytes]) -> None:
        file.seek(0)
        whole = self._read(file.read())
        file.truncate(whole)
        file.seek(whole)

    def _read(self, data: bytes) -> int:
        """Reads all whole lines and returns their bytes."""
        whole = data.rfind(b"\n") + 1
        for number, line in enumerate(data[:whole].splitlines(), start=1):
            try:
                key, answer = _parse(json.loads(line))
            except (ValueError, TypeError, KeyError):
                raise SettingsError(
                    f"{self.path}: line {number} is no answer of a calibration; give --restart to "
                    "begin anew, or --output to keep answers elsewhere"
                ) from None
            self._known[key] = answer
        return whole


def _parse(line: dict[str, object]) -> tuple[AnswerKey, Answer]:
    values = dict(line)
    if values.pop("format") != _FORMAT:
        raise ValueError("another format")
    key = AnswerKey(**{one.name: values.pop(one.name) for one in fields(AnswerKey)})  # type: ignore[arg-type]
    told = values.pop("signals")
    if told is not None and not isinstance(told, dict):
        raise ValueError("signals")
    signals = None if told is None else Signals(**told)
    return key, Answer(signals=signals, **values)  # type: ignore[arg-type]
