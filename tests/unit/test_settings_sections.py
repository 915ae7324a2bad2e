"""The sections of the configuration that say how requests are routed, metered and paid for."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from quorate.errors import SettingsError
from quorate.ledger.settings import BudgetLimits, BudgetSettings, LedgerSettings
from quorate.metering.settings import EnergySettings
from quorate.request import AnswersPlan, CascadePlan, Comparison, Plan, Stage, WeightedModel
from quorate.routing.settings import RoutingSettings
from quorate.settings import Settings, load_settings

MODELS = '[[models]]\nmodel = "a"\n[[models]]\nmodel = "b"\n'
REMOTE = '[remotes.far]\nbase_url = "https://api.example.com/v1"\nmodel = "big"\n'
KEY = '[keys.alice]\ntoken_env = "TOKEN_OF_ALICE"\n'


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "quorate.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def test_what_is_not_said_is_the_default_and_limits_nothing(tmp_path: Path) -> None:
    settings = loaded(tmp_path, MODELS)
    assert settings.routing == RoutingSettings()
    assert settings.energy == EnergySettings()
    assert settings.ledger == LedgerSettings()
    assert settings.budgets == BudgetSettings()
    assert math.isinf(settings.budgets.everybody.usd_per_day)
    assert (dict(settings.remotes), dict(settings.keys)) == ({}, {})
    assert not settings.routing.local_only


def test_routing_is_read(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        MODELS
        + """
        [profiles.pair]
        members = ["a", "b"]
        [routing]
        policy = "reject"
        local_only = true
        joule_weight = 1
        candidates = ["a", "pair"]
        exploration = 0.0
        confidence = 0.5
        probe = false
        calibration = "found.json"
        """,
    )
    assert settings.routing == RoutingSettings(
        policy="reject",
        local_only=True,
        joule_weight=1.0,
        candidates=("a", "pair"),
        exploration=0.0,
        confidence=0.5,
        probe=False,
        calibration=str(tmp_path / "found.json"),
    )


def test_another_policy_has_another_version(tmp_path: Path) -> None:
    versions = {
        loaded(tmp_path, f"{MODELS}[routing]\n{line}\n").routing.version
        for line in ("", 'policy = "reject"', "joule_weight = 2", 'candidates = ["a"]')
    }
    assert len(versions) == 4
    assert loaded(tmp_path, MODELS).routing.version == RoutingSettings().version


def test_budgets_are_read_for_everybody_and_for_keys(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        KEY
        + """
        [budgets]
        joules_per_hour = 1000
        usd_per_day = 0
        [budgets.keys.alice]
        usd_per_hour = 0.25
        """,
    )
    assert settings.budgets.everybody == BudgetLimits(joules_per_hour=1000.0, usd_per_day=0.0)
    assert dict(settings.budgets.keys) == {"alice": BudgetLimits(usd_per_hour=0.25)}


def test_energy_and_ledger_are_read(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        [energy]
        source = "estimate"
        tdp_watts = 65
        window_seconds = 0.5
        [ledger]
        path = "books/ledger.db"
        keep_days = 30
        store_prompts = true
        """,
    )
    assert settings.energy == EnergySettings("estimate", tdp_watts=65.0, window_seconds=0.5)
    path = str(tmp_path / "books" / "ledger.db")
    assert settings.ledger == LedgerSettings(path, keep_days=30, store_prompts=True)
    assert settings.ledger.located(tmp_path / "home", Path("elsewhere")) == Path(path)


def test_remotes_and_keys_are_read_by_name(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        f"""
        {REMOTE}
        input_usd_per_mtok = 1
        output_usd_per_mtok = 2
        tasks = ["code"]
        {KEY}
        rights = ["generate", "accounting"]
        """,
    )
    assert list(settings.remotes) == ["far"]
    far = settings.remotes["far"]
    assert (far.model, far.input_usd_per_mtok, far.tasks) == ("big", 1.0, ("code",))
    assert far.quality is None
    assert settings.keys["alice"].rights == ("generate", "accounting")


def test_a_model_keeps_its_tasks_and_its_quality(tmp_path: Path) -> None:
    settings = loaded(tmp_path, '[[models]]\nmodel = "a"\ntasks = ["code"]\nquality = 0.5\n')
    (model,) = settings.models
    assert (model.tasks, model.quality) == (("code",), 0.5)


def test_a_profile_with_stages_is_a_cascade(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        MODELS
        + """
        [profiles.careful]
        stages = [
            { members = ["a"], confidence = 0.75 },
            { members = ["a", { model = "b", weight = 2 }], rule = "linear" },
        ]
        stream_early = true
        """,
    )
    assert settings.profiles["careful"] == CascadePlan(
        (
            Stage(Plan((WeightedModel("a"),)), 0.75),
            Stage(Plan((WeightedModel("a"), WeightedModel("b", 2.0))), None),
        ),
        stream_early=True,
    )


def test_a_profile_with_answers_is_a_vote_of_whole_answers(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        MODELS
        + """
        [profiles.agreed]
        answers = ["a", { model = "b", weight = 2 }]
        samples = 3
        compare = "choice"
        """,
    )
    assert settings.profiles["agreed"] == AnswersPlan(
        (WeightedModel("a"), WeightedModel("b", 2.0)), samples=3, compare=Comparison.CHOICE
    )


WRONG: list[tuple[str, str]] = [
    ("[routes]", "routes: unknown key; did you mean"),
    ("[routing]\npolicy = 'both'", "routing.policy: must be one of best_effort, reject"),
    ("[routing]\nlocal_only = 1", "routing.local_only: must be"),
    ("[routing]\nexploration = 0.75", "routing.exploration: must be from 0 to 0.5"),
    ("[routing]\njoule_weight = nan", "routing.joule_weight: must be"),
    ("[routing]\ncandidates = ['c']", "routing.candidates[0]: no model or profile named 'c'"),
    ("[routing]\ncandidates = 'a'", "routing.candidates: must be a list of texts"),
    ("[budgets]\nusd_per_week = 1", "budgets.usd_per_week: unknown key; did you mean usd_per_day"),
    ("[budgets.keys.bob]\nusd_per_day = 1", "budgets.keys.bob: no key named 'bob'"),
    ("[energy]\nsource = 'sun'", "energy.source: must be one of auto, rapl"),
    ("[energy]\nwindow_seconds = 0", "energy.window_seconds: must be from 0.1 to 30"),
    ("[energy]\ntdp_watts = -5", "energy.tdp_watts: must be from 0"),
    ("[energy]\nidle_wats = 3", "energy.idle_wats: unknown key; did you mean idle_watts"),
    ("[ledger]\npth = 'x'", "ledger.pth: unknown key; did you mean path?"),
    ("[remotes.far]\nmodel = 'x'", "remotes.far.base_url: is missing"),
    ("[remotes]\nfar = 'x'", "remotes.far: must be a table"),
    ("[keys.alice]\nrights = ['models']", "keys.alice: give token_env or sha256, one of them"),
    ("[keys]\nalice = 'token'", "keys.alice: must be a table"),
    ("[profiles.c]\nstages = [{ members = ['a'] }]", "profiles.c.stages: must be a list with at"),
    ("[profiles.c]\nstages = ['a', 'b']", "profiles.c.stages[0]: must be a table"),
    (
        "[profiles.c]\nstages = [{ members = ['a'], confidence = 2 }, { members = ['b'] }]",
        "profiles.c.stages[0].confidence: must be from 0 to 1",
    ),
    (
        "[profiles.c]\nstages = [{ members = ['a'] }, { members = ['c'] }]",
        "profiles.c.stages[1].members[0].model: no model named 'c'",
    ),
    (
        "[profiles.c]\nmembers = ['a']\nstages = [{ members = ['a'] }, { members = ['b'] }]",
        "profiles.c.members: unknown key",
    ),
]


@pytest.mark.parametrize(("text", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_what_is_wrong_is_refused_in_one_line_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        loaded(tmp_path, f"{text}\n{MODELS}")
    message = refusal.value.message
    assert message.startswith(f"{tmp_path / 'quorate.toml'}: {problem}")
    assert "\n" not in message


def test_a_token_in_the_configuration_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        loaded(tmp_path, '[keys.alice]\nsha256 = "my-own-token"\n')
    assert "my-own-token" not in refusal.value.message
