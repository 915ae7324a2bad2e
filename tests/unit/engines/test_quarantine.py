from __future__ import annotations

import pytest

from quorate.engines.quarantine import Quarantine
from quorate.errors import InvalidRequest, PromptQuarantined


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def quarantine(clock: Clock) -> Quarantine:
    return Quarantine("toy", clock)


def test_a_prompt_is_refused_after_two_deaths_in_a_row(quarantine: Quarantine) -> None:
    assert not quarantine.blame(b"bad", "killed by SIGSEGV")
    quarantine.check("prompt", b"bad")
    assert quarantine.blame(b"bad", "killed by SIGABRT")
    with pytest.raises(PromptQuarantined) as caught:
        quarantine.check("prompt", b"bad")
    assert isinstance(caught.value, InvalidRequest)
    assert caught.value.field == "prompt"
    for part in ("model toy", "2 processes in a row", "killed by SIGABRT", "change it"):
        assert part in caught.value.problem
    quarantine.check("prompt", b"another")


def test_a_prompt_that_a_process_survived_begins_anew(quarantine: Quarantine) -> None:
    quarantine.blame(b"unlucky", "killed by SIGSEGV")
    assert quarantine.suspicion(b"unlucky") == 1
    quarantine.absolve(b"unlucky")
    assert not quarantine.blame(b"unlucky", "killed by SIGSEGV")


def test_deaths_are_forgotten(quarantine: Quarantine, clock: Clock) -> None:
    quarantine.blame(b"bad", "x")
    quarantine.blame(b"bad", "x")
    clock.seconds += 901
    quarantine.check("prompt", b"bad")
    assert not quarantine.blame(b"bad", "x")


def test_only_the_latest_prompts_are_remembered(quarantine: Quarantine) -> None:
    for number in range(300):
        quarantine.blame(str(number).encode(), "x")
    assert len(quarantine) == 256
    assert quarantine.suspicion(b"0") == 0
    assert quarantine.suspicion(b"299") == 1
