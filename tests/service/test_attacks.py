from __future__ import annotations

from pathlib import Path

import pytest
from attacks.frame.cases import all_cases
from attacks.frame.run import run

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", list(all_cases()))
def test_one_caller_stops_nobody_else(name: str) -> None:
    outcome = run(all_cases()[name], ROOT)
    assert outcome.problems == (), outcome
