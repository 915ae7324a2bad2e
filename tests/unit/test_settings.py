from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest

from quorate.access.keys import KeySettings
from quorate.api.grpc.settings import ServerSettings
from quorate.api.http.settings import HttpSettings
from quorate.dispatch.settings import DispatchSettings
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.scripted.options import ScriptedOptions
from quorate.engines.vllm.options import VllmOptions
from quorate.errors import SettingsError
from quorate.files import default_id, is_path
from quorate.fleet.settings import FleetSettings
from quorate.ledger.settings import BudgetLimits, LedgerSettings
from quorate.metering.settings import EnergySettings
from quorate.remotes.settings import RemoteSettings
from quorate.request import (
    Alignment,
    AnswersPlan,
    BeamOptions,
    CombinationRule,
    DraftMode,
    DraftOptions,
    FailurePolicy,
    GateOptions,
    Plan,
    WeightedModel,
    Weighting,
)
from quorate.request.plans import DEFAULT_WIDTH
from quorate.routing.resolve import DEFAULT_EPSILON, DEFAULT_FORGETTING
from quorate.routing.settings import RoutingSettings
from quorate.settings import (
    ModelSettings,
    Settings,
    load_settings,
    parse_settings,
)
from quorate.telemetry.settings import MetricsSettings, TraceSettings
from quorate_registry import Registry

EXAMPLE = Path(__file__).parents[2] / "quorate.example.toml"
COMMENTED_KEY = re.compile(r"^# (?=\w+ = |\[)", re.MULTILINE)
SECTIONS = {
    "routing": RoutingSettings,
    "budgets": BudgetLimits,
    "energy": EnergySettings,
    "fleet": FleetSettings,
    "ledger": LedgerSettings,
    "http": HttpSettings,
    "metrics": MetricsSettings,
    "traces": TraceSettings,
}
TWO_MODELS = '[[models]]\nmodel = "a"\n[[models]]\nmodel = "b"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "quorate.toml"
    path.write_text(text, encoding="utf-8")
    return path


def loaded(tmp_path: Path, text: str) -> Settings:
    return load_settings(written(tmp_path, text))


def refused(tmp_path: Path, text: str) -> str:
    """The message, without the file's name it must begin with."""
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    message = caught.value.message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# The example


def uncommented_example() -> str:
    return COMMENTED_KEY.sub("", EXAMPLE.read_text(encoding="utf-8"))


def names(*classes: type) -> set[str]:
    return {field.name for cls in classes for field in fields(cls)}


def keys(tables: Iterable[Mapping[str, Any]]) -> set[str]:
    return {key for table in tables for key in table}


def options_of(engine: str) -> list[Mapping[str, Any]]:
    models = tomllib.loads(uncommented_example())["models"]
    chosen = [model for model in models if (model.get("engine") or "llama_cpp") == engine]
    return [model["options"] for model in chosen if "options" in model]


def test_the_example_loads_as_it_stands() -> None:
    settings = load_settings(EXAMPLE)
    assert [model.id for model in settings.models] == [
        "smollm2-135m-instruct",
        "smollm2-360m-instruct",
    ]
    assert settings.server == ServerSettings()
    assert settings.dispatch == DispatchSettings()
    assert settings.profiles[settings.default_profile].members == (
        WeightedModel("smollm2-135m-instruct"),
        WeightedModel("smollm2-360m-instruct", 2.0),
    )


def test_the_example_names_models_of_the_catalogue(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    for model in load_settings(EXAMPLE).models:
        assert registry.get(model.model).manifest.id == model.model


def test_the_example_loads_with_every_commented_key(tmp_path: Path) -> None:
    settings = loaded(tmp_path, uncommented_example())
    assert [model.engine for model in settings.models] == ["", "", "vllm", "scripted"]
    assert settings.models[-1].id == "toy"


def test_the_example_documents_every_key_and_no_other() -> None:
    example = tomllib.loads(uncommented_example())
    cascade = example["profiles"].pop("careful")
    answers = example["profiles"].pop("agreed")
    members = [m for profile in example["profiles"].values() for m in profile["members"]]
    assert set(example) == {*SECTIONS, "server", "models", "profiles", "remotes", "keys"}
    for section, cls in SECTIONS.items():
        shown = set(example[section]) - ({"keys"} if section == "budgets" else set())
        assert shown == names(cls), section
    assert set(example["budgets"]["keys"]["alice"]) <= names(BudgetLimits)
    assert set(example["remotes"]["cloud"]) == names(RemoteSettings)
    assert set(example["keys"]["alice"]) == names(KeySettings) - {"sha256"}
    assert set(cascade) == {"stages", "stream_early"}
    assert keys(cascade["stages"]) == {"members", "confidence"}
    assert set(answers) == names(AnswersPlan) - {"members"} | {"answers"}
    assert set(example["server"]) == names(ServerSettings, DispatchSettings) | {"default_profile"}
    assert keys(example["models"]) == names(ModelSettings)
    assert keys(options_of("llama_cpp")) == names(LlamaCppOptions)
    assert keys(options_of("vllm")) == names(VllmOptions)
    assert keys(options_of("scripted")) == names(ScriptedOptions)
    plan = names(Plan) - {"beam", "draft", "gate"}
    plan |= {f"beam_{name}" for name in names(BeamOptions)} | {"drafts", "drafts_most"}
    plan |= {f"gate_{name}" for name in names(GateOptions)}
    assert keys(example["profiles"].values()) == plan
    assert keys(m for m in members if isinstance(m, dict)) == names(WeightedModel)


def test_what_the_example_leaves_commented_is_the_default() -> None:
    example = tomllib.loads(uncommented_example())
    set_here = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    commented = [
        (example["server"], set_here["server"], (ServerSettings, DispatchSettings)),
        (example["models"][0], set_here["models"][0], (ModelSettings,)),
        (options_of("llama_cpp")[0], set_here["models"][0]["options"], (LlamaCppOptions,)),
        (options_of("vllm")[0], {}, (VllmOptions,)),
        (options_of("scripted")[0], {}, (ScriptedOptions,)),
        (example["routing"], {}, (RoutingSettings,)),
        (example["energy"], {}, (EnergySettings,)),
        (example["ledger"], {}, (LedgerSettings,)),
        (example["fleet"], {}, (FleetSettings,)),
        (example["metrics"], {}, (MetricsSettings,)),
        (example["traces"], {}, (TraceSettings,)),
    ]
    for shown, chosen, classes in commented:
        defaults = {field.name: field.default for cls in classes for field in fields(cls)}
        for key in set(shown) - set(chosen) - {"id", "options", "required"}:
            default = defaults[key]
            assert default is not MISSING
            assert shown[key] == (list(default) if isinstance(default, tuple) else default), key
    # Of a model that a profile names, as this one is.
    assert example["models"][0]["required"] is load_settings(EXAMPLE).models[0].required
    pair, plan = example["profiles"]["pair"], Plan(())
    for key in ("rule", "alignment", "weighting", "on_failure"):
        assert pair[key] == getattr(plan, key).value
    assert pair["forgetting"] == DEFAULT_FORGETTING
    assert pair["beam_epsilon"] == DEFAULT_EPSILON
    assert pair["beam_width"] == DEFAULT_WIDTH


# What a file gives


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert loaded(tmp_path, "") == Settings()


def test_server_keys_reach_their_rooms(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "[server]\nmax_running = 3\ndrain_seconds = 5\n")
    assert settings.dispatch.max_running == 3
    assert settings.server.drain_seconds == 5.0


def test_a_model_keeps_what_it_was_given(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        """
        [[models]]
        model = "qwen3-4b"
        id = "big"
        cores = 4
        load = false
        step_timeout_seconds = 90
        options = { sessions = 2 }
        """,
    )
    (model,) = settings.models
    assert (model.model, model.id, model.engine) == ("qwen3-4b", "big", "")
    assert (model.cores, model.load, model.step_timeout_seconds) == (4, False, 90.0)
    assert dict(model.options) == {"sessions": 2}


def test_relative_paths_count_from_the_file(tmp_path: Path) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    settings = loaded(
        folder,
        """
        [server]
        tls_certificate = "server.crt"
        tls_key = "keys/server.key"
        [[models]]
        model = "models/Tiny.gguf"
        [[models]]
        model = "/elsewhere/other.gguf"
        [[models]]
        model = "qwen3-4b"
        """,
    )
    assert settings.server.tls_certificate == str(folder / "server.crt")
    assert settings.server.tls_key == str(folder / "keys" / "server.key")
    assert [model.model for model in settings.models] == [
        str(folder / "models" / "Tiny.gguf"),
        "/elsewhere/other.gguf",
        "qwen3-4b",
    ]


def test_a_relative_path_of_the_file_gives_absolute_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, '[[models]]\nmodel = "tiny.gguf"\n')
    monkeypatch.chdir(tmp_path)
    (model,) = load_settings(Path("quorate.toml")).models
    assert model.model == str(tmp_path / "tiny.gguf")


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (model,) = loaded(tmp_path, '[[models]]\nmodel = "~/models/tiny.gguf"\n').models
    assert model.model == str(tmp_path / "models" / "tiny.gguf")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("qwen3-4b", "qwen3-4b"),
        ("Tiny.Q4_0.gguf", "tiny.q4_0"),
        ("/models/SmolLM2-135M.Q4_1.gguf", "smollm2-135m.q4_1"),
        ("/models/checkpoint-1.5B", "checkpoint-1.5b"),
        ("./checkpoint/", "checkpoint"),
    ],
)
def test_a_model_without_an_id_is_called_by_its_registry_id_or_file(
    tmp_path: Path, name: str, expected: str
) -> None:
    assert default_id(name) == expected
    assert loaded(tmp_path, f'[[models]]\nmodel = "{name}"\n').models[0].id == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("qwen3-4b", False), ("qwen2.5-0.5b", False), ("a.gguf", True), ("./a", True), ("a/b", True)],
)
def test_a_slash_or_the_suffix_makes_a_path(name: str, expected: bool) -> None:
    assert is_path(name) is expected


def test_a_profile_becomes_a_plan(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        TWO_MODELS
        + """
        [server]
        default_profile = "pair"
        [profiles.pair]
        members = [{ model = "a", weight = 3 }, "b"]
        rule = "geometric"
        alignment = "same_vocabulary"
        weighting = "bayesian"
        on_failure = "replay"
        forgetting = 0.5
        beam_epsilon = 0.0
        beam_width = 4
        drafts = "b"
        drafts_most = 2
        [profiles.solo]
        members = ["b"]
        beam_width = 2
        drafts = "off"
        """,
    )
    assert settings.default_profile == "pair"
    assert dict(settings.profiles) == {
        "pair": Plan(
            (WeightedModel("a", 3.0), WeightedModel("b")),
            CombinationRule.GEOMETRIC,
            Alignment.SAME_VOCABULARY,
            Weighting.BAYESIAN,
            FailurePolicy.REPLAY,
            0.5,
            BeamOptions(0.0, 4),
            DraftOptions(model="b", most=2),
        ),
        "solo": Plan(
            (WeightedModel("b"),),
            beam=BeamOptions(width=2),
            draft=DraftOptions(DraftMode.OFF),
        ),
    }


# Files that cannot be read


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.toml", "cannot be read: No such file or directory"),
        ("folder", "is a folder, not a file; name a configuration file"),
        ("latin.toml", "cannot be read: it is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin.toml").write_bytes('# für\n[server]\nlisten = "é"'.encode("latin-1"))
    with pytest.raises(SettingsError) as caught:
        load_settings(tmp_path / name)
    assert caught.value.message == f"{tmp_path / name}: {problem}"


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    message = refused(tmp_path, "[server]\nmax_running = 3\nlisten 127.0.0.1\n")
    assert message.startswith("is not TOML: ")
    assert "line 3" in message


@pytest.mark.parametrize("value", ["1" * 5000, "[" * 5000], ids=["long number", "deep nesting"])
def test_toml_beyond_what_can_be_read_is_refused(tmp_path: Path, value: str) -> None:
    assert refused(tmp_path, f"a = {value}\n").startswith("is not TOML: ")


# Wrong keys and values


WRONG: list[tuple[str, str]] = [
    # unknown keys, with the nearest that is known
    ("[servers]", "servers: unknown key; did you mean server?"),
    ("[zzz]", "zzz: unknown key; known: server, models, profiles"),
    ("[server]\nmax_runing = 1", "server.max_runing: unknown key; did you mean max_running?"),
    (
        "[server]\ndefault_profil = 'a'",
        "server.default_profil: unknown key; did you mean default_profile?",
    ),
    (
        "[[models]]\nid = 'a'\nengine = 'scripted'\noptions = { gpu_layers = 1 }",
        "models[0].options.gpu_layers: unknown key; ",
    ),
    # wrong types
    ("server = 1", "server: must be a table, not 1"),
    ("profiles = []", "profiles: must be a table, not []"),
    ("[models]\nmodel = 'a'", "models: must be a list of tables, each begun with [[models]]"),
    ("models = ['a']", "models[0]: must be a table, not 'a'"),
    ("[profiles]\np = 1", "profiles.p: must be a table, not 1"),
    ("[server]\nlisten = 50051", "server.listen: must be a text, not 50051"),
    ("[server]\nmax_running = '3'", "server.max_running: must be an integer, not '3'"),
    ("[server]\ndefault_profile = 1", "server.default_profile: must be a text, not 1"),
    ("[server]\ndefault_profile = false", "server.default_profile: must be a text, not False"),
    ("[[models]]\nmodel = 1", "models[0].model: must be a text, not 1"),
    # out of range
    ("[server]\nmax_running = 0", "server.max_running: must be from 1 to 100000, not 0"),
    (f"[server]\nmax_streams = {10**400}", "server.max_streams: must be from 1 to "),
    ("[server]\nlisten = '0.0.0.0:1'", "server.listen: 0.0.0.0:1 is open to the network"),
    # models
    ("[[models]]\ncores = 1", "models[0].model: is missing; name a registry id or a path"),
    ("[[models]]\nengine = 'scripted'", "models[0].id: is missing; a scripted model has no"),
    ("[[models]]\nmodel = './'", "models[0].id: is missing; ./ has no name to take"),
    ("[[models]]\nmodel = '~no.such.user/a.gguf'", "models[0].model: ~no.such.user/a.gguf: "),
    (
        TWO_MODELS + "[[models]]\nmodel = 'c'\nid = 'a'",
        "models[2].id: 'a' is taken; choose another id",
    ),
    (
        "[[models]]\nmodel = 'x/A.gguf'\n[[models]]\nmodel = 'y/a.gguf'",
        "models[1].id: 'a' is taken; choose another id",
    ),
    # profiles
    ("[server]\ndefault_profile = 'p'", "server.default_profile: no profile named 'p'; "),
    (
        TWO_MODELS + "[profiles.fast]\nmembers = ['a']\n[server]\ndefault_profile = 'fats'",
        "server.default_profile: no profile named 'fats'; did you mean fast?",
    ),
    ("[profiles.p]", "profiles.p.members: must be a list with at least one member"),
    ("[profiles.p]\nmembers = ['a']", "profiles.p.members[0].model: no model named 'a'; "),
]
WRONG_IN_A_MODEL: list[tuple[str, str]] = [
    ("core = 1", "core: unknown key; did you mean cores?"),
    ("cores = -1", "cores: must be from 0 to 4096, not -1"),
    ("options = 1", "options: must be a table, not 1"),
    ("step_timeout_seconds = inf", "step_timeout_seconds: must be from 1 to 86400, not inf"),
    (f"load_timeout_seconds = {10**400}", "load_timeout_seconds: must be from 1 to 86400, not inf"),
    ("engine = 'llama'", "engine: must be one of llama_cpp, scripted, vllm, not 'llama'"),
]
WRONG_IN_A_PROFILE: list[tuple[str, str]] = [
    ("members = []", "members: must be a list with at least one"),
    ("members = 'a'", "members: must be a list with at least one"),
    ("members = [1]", "members[0]: must be a table, not 1"),
    ("members = ['a', 'bb']", "members[1].model: no model named 'bb'; did you mean b?"),
    ("members = [{ weight = 1 }]", "members[0].model: must be the id of a model, not None"),
    (
        "members = ['b', { model = 'a', wieght = 1 }]",
        "members[1].wieght: unknown key; did you mean weight?",
    ),
    (
        "members = ['a', 'b', { model = 'a', weight = 2 }]",
        "members: a model is named twice; give it one weight instead",
    ),
    ("rules = 'linear'", "rules: unknown key; did you mean rule?"),
    ("rule = 'mean'", "rule: must be one of linear, geometric, majority, not 'mean'"),
    ("rule = ['linear']", "rule: must be one of linear, geometric, majority, not ['linear']"),
    (
        "alignment = 'bytes'",
        "alignment: must be one of auto, same_vocabulary, byte_exact, union_top_k",
    ),
    (
        "weighting = 1",
        "weighting: must be one of auto, static, bayesian, prompt, confidence, gated, not 1",
    ),
    ("forgetting = 0", "forgetting: must be from "),
    ("beam_epsilon = 0.6", "beam_epsilon: must be from 0 to 0.5, not 0.6"),
    ("beam_width = 65", "beam_width: must be from 1 to 64, not 65"),
    ("drafts = 1", "drafts: must be one of auto, off, prompt, or a member, not 1"),
    ("drafts = 'x'", "drafts: must be one of auto, off, prompt, or a member; it names 'x'"),
    ("drafts_most = 9", "drafts_most: must be from 1 to 8, not 9"),
    ("beam_widht = 6", "beam_widht: unknown key; did you mean beam_width?"),
    ("on_failure = 'AUTO'", "on_failure: must be one of auto, continue, replay, fail, not 'AUTO'"),
]


def refusals(rows: list[tuple[str, str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("text", "message"), rows, ids=[message[:60] for _, message in rows]
    )


@refusals(WRONG)
def test_what_is_wrong_is_refused_with_file_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    assert refused(tmp_path, f"{text}\n").startswith(message)


@refusals(WRONG_IN_A_MODEL)
def test_what_is_wrong_in_a_model_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert refused(tmp_path, f"{TWO_MODELS}{text}\n").startswith(f"models[1].{message}")


@refusals(WRONG_IN_A_PROFILE)
def test_what_is_wrong_in_a_profile_is_refused(tmp_path: Path, text: str, message: str) -> None:
    members = "" if "members" in text else "members = ['a']\n"
    told = refused(tmp_path, f"{TWO_MODELS}[profiles.p]\n{members}{text}\n")
    assert told.startswith(f"profiles.p.{message}")


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("nan", "profiles.p.members[1].weight: is nan; give a finite number"),
        ("inf", "profiles.p.members[1].weight: is inf; give a finite number"),
        ("-0.5", "profiles.p.members[1].weight: is -0.5; give a finite number"),
        (str(10**400), "profiles.p.members[1].weight: is inf; give a finite number"),
        ("'1'", "profiles.p.members[1].weight: must be a number, not '1'"),
        ("true", "profiles.p.members[1].weight: must be a number, not True"),
        ("0", "profiles.p.members: all weights are 0; raise at least one"),
    ],
    ids=["nan", "inf", "negative", "huge", "text", "bool", "all zero"],
)
def test_weights_that_give_no_shares_are_refused(tmp_path: Path, weight: str, message: str) -> None:
    members = f"[{{ model = 'a', weight = 0 }}, {{ model = 'b', weight = {weight} }}]"
    text = f"{TWO_MODELS}[profiles.p]\nmembers = {members}\n"
    assert refused(tmp_path, text).startswith(message)


def test_settings_without_a_file_name_the_key_alone(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"server": {"max_waiting": -1}}, tmp_path)
    assert caught.value.message == "server.max_waiting: must be from 0 to 1e+06, not -1"


@pytest.mark.parametrize("name", ["a:0.3", "a b", "a/b", "a\n"])
def test_an_id_that_a_plan_could_not_name_is_refused(name: str) -> None:
    data = {"models": [{"id": name, "engine": "scripted"}]}
    with pytest.raises(SettingsError, match=r"models\[0\]\.id: .* use letters, digits"):
        parse_settings(data, Path("/"))
