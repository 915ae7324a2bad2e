"""What a check of a configuration finds wrong with models, profiles, remotes and keys."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from quorate.app import checking, extras
from quorate.app.checking import Place, check_file
from quorate.app.findings import Finding, Level
from quorate_registry import Registry
from support.certificates import certificate_files
from support.model_headers import ARCHITECTURE, gguf_header, padded, pair, text, u32, u64

GIB = 2**30
LETTERS = ("<s>", "a", "b", "c")
WORDS = ("<s>", "the", "cat", "sat")
EMBEDDING = text(b"token_embd.weight") + u32(1) + u64(8) + u32(0) + u64(0)
"""Eight float32 weights, which stand in for an output as well."""


def number(key: str, value: int) -> bytes:
    return pair(key.encode(), 4, u32(value))


def model_file(
    path: Path, tokens: Sequence[str] = LETTERS, context: int = 128, *more: bytes
) -> Path:
    """The smallest GGUF file that has a tokenizer and a context."""
    listed = u32(8) + u64(len(tokens)) + b"".join(text(token.encode()) for token in tokens)
    pairs = [
        ARCHITECTURE,
        number("llama.context_length", context),
        pair(b"tokenizer.ggml.model", 8, text(b"gpt2")),
        pair(b"tokenizer.ggml.tokens", 9, listed),
        *more,
    ]
    path.write_bytes(padded(gguf_header(pairs, [EMBEDDING])))
    return path


def checked(folder: Path, config: str, **place: Any) -> list[Finding]:
    """The findings for a configuration on a machine of two cores and a gigabyte."""
    (folder / "q.toml").write_text(config)
    here = {"environ": {}, "cores": 2, "memory_bytes": GIB, **place}
    return check_file(folder / "q.toml", Place(Registry(folder / "home"), **here))[1]


def told(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(one.level.value, one.key) for one in findings]


def model(name: str, more: str = "") -> str:
    return f'[[models]]\nmodel = "./{name}"\n{more}\n'


def test_a_configuration_that_works_has_nothing_against_it(tmp_path: Path) -> None:
    model_file(tmp_path / "a.gguf")
    model_file(tmp_path / "b.gguf")
    profile = '[profiles.p]\nmembers = ["a", "b"]\nalignment = "same_vocabulary"\n'
    assert checked(tmp_path, model("a.gguf") + model("b.gguf") + profile) == []


def _no_file(folder: Path) -> None:
    """Nothing is where the path leads."""


def _no_model(folder: Path) -> None:
    (folder / "a.gguf").write_bytes(b"GGML" + bytes(64))


def _empty(folder: Path) -> None:
    (folder / "a.gguf").write_bytes(b"")


def _folder(folder: Path) -> None:
    (folder / "a.gguf").mkdir()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_no_file, "does not exist"),
        (_no_model, "is not a GGUF file"),
        (_empty, "is empty"),
        (_folder, "without config.json"),
    ],
)
@pytest.mark.parametrize(("load", "level"), [("true", "fatal"), ("false", "error")])
def test_files_that_are_no_model_are_told_with_their_key(
    tmp_path: Path, make: Any, words: str, load: str, level: str
) -> None:
    make(tmp_path)
    [finding] = checked(tmp_path, model("a.gguf", f"load = {load}"))
    assert (finding.level.value, finding.key) == (level, "models[0].model")
    assert words in finding.problem
    assert "\n" not in finding.line


def test_an_engine_that_cannot_load_the_files_is_told(tmp_path: Path) -> None:
    model_file(tmp_path / "a.gguf")
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    findings = checked(
        tmp_path, model("a.gguf", 'engine = "vllm"') + model("b", 'engine = "llama_cpp"')
    )
    problems = {one.key: one.problem for one in findings if "checkpoint" in one.problem}
    assert "vllm loads checkpoint folders" in problems["models[0].engine"]
    assert "llama_cpp loads single GGUF files" in problems["models[1].engine"]


def test_a_name_that_no_registry_knows_is_wrong_and_one_to_be_pulled_is_told(
    tmp_path: Path,
) -> None:
    names = '[[models]]\nmodel = "qwen3-0.6bb"\n[[models]]\nmodel = "qwen3-0.6b"\n'
    wrong, pulled = checked(tmp_path, names)
    assert (wrong.level, wrong.key) == (Level.ERROR, "models[0].model")
    assert "did you mean qwen3-0.6b" in wrong.problem
    assert (pulled.level, pulled.key) == (Level.WARNING, "models[1].model")
    assert "qwen3-0.6b is not on this machine, and is downloaded at the start" in pulled.problem


def test_a_model_that_is_not_there_keeps_from_starting_only_who_requires_it_or_has_no_other(
    tmp_path: Path,
) -> None:
    model_file(tmp_path / "a.gguf")
    absent = model("nowhere.gguf")
    assert told(checked(tmp_path, model("a.gguf") + absent)) == [("error", "models[1].model")]
    named = '[profiles.p]\nmembers = ["nowhere"]\n'
    fatal = [("fatal", "models[1].model")]
    assert told(checked(tmp_path, model("a.gguf") + absent + named)) == fatal
    assert told(checked(tmp_path, model("a.gguf", "load = false") + absent)) == fatal
    assert told(checked(tmp_path, absent)) == [("fatal", "models[0].model")]
    # Of what the table itself says wrong nothing can become a model.
    wrong = model("a.gguf") + model("a.gguf", 'id = "b"\noptions = { contxt_length = 1 }')
    assert [one.level for one in checked(tmp_path, wrong)] == [Level.FATAL]


def test_what_must_be_downloaded_is_told_where_nothing_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    [finding] = checked(tmp_path, '[[models]]\nmodel = "qwen3-0.6b"\n')
    assert (finding.level, finding.key) == (Level.FATAL, "models[0].model")
    assert "HF_HUB_OFFLINE" in finding.problem


@pytest.mark.parametrize(
    ("others", "wrong"), [(LETTERS, False), ((*LETTERS[:2], "x", "c"), True), (WORDS, True)]
)
def test_a_vote_token_by_token_needs_one_tokenizer(
    tmp_path: Path, others: Sequence[str], wrong: bool
) -> None:
    model_file(tmp_path / "a.gguf")
    model_file(tmp_path / "b.gguf", others)
    models = model("a.gguf") + model("b.gguf")
    vote = 'members = ["a", "b"]\n'
    profiles = (
        f'[profiles.p]\n{vote}alignment = "same_vocabulary"\n[profiles.open]\n{vote}'
        f'[profiles.steps]\nstages = [{{ members = ["a"] }}, {{ members = ["a", "b"], '
        'alignment = "same_vocabulary" }]\n'
    )
    findings = checked(tmp_path, models + profiles)
    keys = ["profiles.p", "profiles.steps"] if wrong else []
    assert told(findings) == [("fatal", key) for key in keys]
    assert all("a, b: their vocabularies differ" in one.problem for one in findings)


def test_models_that_need_no_files_are_compared_by_their_options(tmp_path: Path) -> None:
    scripted = '[[models]]\nid = "{}"\nengine = "scripted"\noptions = {{ vocabulary = "{}" }}\n'
    models = scripted.format("a", "letters") + scripted.format("b", "words")
    vote = '[profiles.p]\nmembers = ["a", "b"]\nalignment = "{}"\n'
    assert told(checked(tmp_path, models + vote.format("same_vocabulary"))) == [
        ("fatal", "profiles.p")
    ]
    assert checked(tmp_path, models + vote.format("byte_exact")) == []


def test_a_beam_wider_than_the_sessions_of_a_member_is_told(tmp_path: Path) -> None:
    model_file(tmp_path / "a.gguf")
    model_file(tmp_path / "b.gguf", WORDS)
    models = model("a.gguf", "options = { sessions = 4 }") + model("b.gguf")
    profile = '[profiles.p]\nmembers = ["a", "b"]\nbeam_width = 8\n'
    [finding] = checked(tmp_path, models + profile)
    assert (finding.level, finding.key) == (Level.FATAL, "profiles.p")
    assert "a beam of width 8" in finding.problem


@pytest.mark.parametrize(
    ("options", "more", "wrong"),
    [
        ("context_length = 129", (), True),
        ("context_length = 128", (), False),
        ("context_length = 0", (), False),
        ("context_length = 256, rope_freq_scale = 0.5", (), False),
        (
            "context_length = 256",
            (
                pair(b"llama.rope.scaling.type", 8, text(b"yarn")),
                pair(b"llama.rope.scaling.factor", 6, b"\0\0\0\x40"),
                number("llama.rope.scaling.original_context_length", 128),
            ),
            False,
        ),
    ],
)
def test_a_context_beyond_the_trained_one_is_told(
    tmp_path: Path, options: str, more: tuple[bytes, ...], wrong: bool
) -> None:
    model_file(tmp_path / "a.gguf", LETTERS, 128, *more)
    findings = checked(tmp_path, model("a.gguf", f"options = {{ {options} }}"))
    keys = ["models[0].options.context_length"] if wrong else []
    assert told(findings) == [("error", key) for key in keys]


@pytest.mark.parametrize(
    ("context", "more", "key"),
    [
        (128, (number("llama.pooling_type", 1),), "model"),
        (128, (pair(b"llama.attention.causal", 7, b"\0"),), "model"),
        (64, (), "options.context_length"),
    ],
)
def test_what_its_engine_cannot_run_is_told_and_only_a_required_model_keeps_from_starting(
    tmp_path: Path, context: int, more: tuple[bytes, ...], key: str
) -> None:
    model_file(tmp_path / "a.gguf", LETTERS, context, *more)
    config = model("a.gguf", "options = { context_length = 100 }")
    assert told(checked(tmp_path, config)) == [("error", f"models[0].{key}")]
    named = config + '[profiles.p]\nmembers = ["a"]\n'
    assert told(checked(tmp_path, named)) == [("fatal", f"models[0].{key}")]


def test_more_cores_than_there_are_do_not_keep_the_service_from_starting(tmp_path: Path) -> None:
    model_file(tmp_path / "a.gguf")
    assert told(checked(tmp_path, model("a.gguf", "cores = 3"))) == [("error", "models[0].cores")]
    assert checked(tmp_path, model("a.gguf", "cores = 2")) == []


def test_memory_that_cannot_fit_is_a_warning_of_all_models_together(tmp_path: Path) -> None:
    model_file(tmp_path / "a.gguf")
    model_file(tmp_path / "b.gguf")
    models = model("a.gguf") + model("b.gguf")
    [finding] = checked(tmp_path, models, memory_bytes=80 * 2**20)
    assert (finding.level, finding.key) == (Level.WARNING, "models")
    assert "a 0.1, b 0.1" in finding.problem
    assert checked(tmp_path, model("a.gguf"), memory_bytes=80 * 2**20) == []
    on_demand = model("a.gguf") + model("b.gguf", "load = false")
    assert checked(tmp_path, on_demand, memory_bytes=80 * 2**20) == []


def test_a_profile_of_a_model_that_nobody_loads_is_a_warning(tmp_path: Path) -> None:
    model_file(tmp_path / "a.gguf")
    profile = '[profiles.p]\nmembers = ["a"]\n'
    findings = checked(tmp_path, model("a.gguf", "load = false") + profile)
    assert told(findings) == [("warning", "profiles.p")]


PRICED = "input_usd_per_mtok = 1.0\noutput_usd_per_mtok = 1.0\n"


def test_secrets_that_are_not_there_are_told(tmp_path: Path) -> None:
    config = (
        '[remotes.far]\nbase_url = "https://example.org/v1"\nmodel = "m"\n'
        f'api_key_env = "FAR_KEY"\n{PRICED}'
        '[keys.alice]\ntoken_env = "ALICE"\n[keys.bob]\ntoken_env = "BOB"\n'
        '[keys.eve]\ntoken_env = "EVE"\n'
    )
    assert told(checked(tmp_path, config)) == [
        ("fatal", "remotes.far.api_key_env"),
        ("fatal", "keys.alice.token_env"),
        ("fatal", "keys.bob.token_env"),
        ("fatal", "keys.eve.token_env"),
    ]
    found = checked(tmp_path, config, environ={"FAR_KEY": "k", "ALICE": "x", "BOB": "x", "EVE": ""})
    assert told(found) == [("fatal", "keys.bob"), ("fatal", "keys.eve.token_env")]
    whole = {"FAR_KEY": "k", "ALICE": "x", "BOB": "y", "EVE": "z"}
    assert checked(tmp_path, config, environ=whole) == []


@pytest.mark.parametrize("door", ["server", "http"])
def test_tls_files_that_cannot_be_read_are_told(tmp_path: Path, door: str) -> None:
    (tmp_path / "key.pem").write_text("key")
    config = f'[{door}]\ntls_certificate = "cert.pem"\ntls_key = "key.pem"\n'
    assert told(checked(tmp_path, config)) == [("fatal", f"{door}.tls_certificate")]


def test_pages_of_all_sites_may_ask_only_where_there_are_keys(tmp_path: Path) -> None:
    config = '[http]\norigins = ["*"]\n'
    assert told(checked(tmp_path, config)) == [("fatal", "http.origins")]
    keys = '[keys.alice]\ntoken_env = "ALICE"\n'
    assert checked(tmp_path, config + keys, environ={"ALICE": "x"}) == []


def test_packages_that_are_missing_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = '[http]\nlisten = "127.0.0.1:0"\n[metrics]\nlisten = "127.0.0.1:0"\n'
    assert checked(tmp_path, config) == []
    there = find_spec
    missing = ("uvicorn", "prometheus_client")
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name in missing else there(name))
    assert told(checked(tmp_path, config)) == [
        ("fatal", "http.listen"),
        ("fatal", "metrics.listen"),
    ]


def test_a_certificate_and_a_key_that_do_not_belong_together_are_told(tmp_path: Path) -> None:
    certificate, key = certificate_files(tmp_path / "one", days=90)
    _, other = certificate_files(tmp_path / "other", days=90)
    for files, found in (
        ((certificate, key), []),
        ((certificate, other), [("fatal", "server.tls_certificate")]),
        ((key, certificate), [("fatal", "server.tls_certificate")]),
    ):
        config = '[server]\ntls_certificate = "{}"\ntls_key = "{}"\n'.format(*files)
        assert told(checked(tmp_path, config)) == found


@pytest.mark.parametrize("path", ["/proc/x/ledger.db", "file/ledger.db"])
def test_a_ledger_where_no_file_can_be_made_is_told(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").touch()
    place = path if path.startswith("/") else tmp_path / path
    assert told(checked(tmp_path, f'[ledger]\npath = "{place}"\n')) == [("fatal", "ledger.path")]


def test_everything_that_is_wrong_is_told_at_once_and_once(tmp_path: Path) -> None:
    """What hangs on a table that is wrong is not told as well."""
    model_file(tmp_path / "b.gguf")
    config = (
        '[server]\nlisten = "nowhere"\ndefault_profile = "p"\nmax_runing = 2\n'
        '[[models]]\nmodel = "./a.gguf"\ncors = 2\n'
        '[[models]]\nmodel = "./b.gguf"\ncores = 9\n'
        '[profiles.p]\nmembers = ["a", "b"]\n'
        '[profiles.q]\nmembers = ["b", "nobody"]\n'
        '[profiles.r]\nrule = "cubic"\nmembers = ["b"]\n'
        '[routing]\npolicy = "none"\n'
        "[budgets.keys.nobody]\nusd_per_day = 1.0\n"
        '[remotes.far]\nbase_url = "http://example.org"\nmodel = "m"\n'
        "[keys.alice]\n"
    )
    findings = checked(tmp_path, config)
    assert sorted(told(findings)) == sorted(
        [
            ("fatal", "server.max_runing"),
            ("fatal", "server.listen"),
            ("fatal", "models[0].cors"),
            ("fatal", "models[0].model"),
            ("error", "models[1].cores"),
            ("fatal", "profiles.q.members[1].model"),
            ("fatal", "profiles.r.rule"),
            ("fatal", "routing.policy"),
            ("fatal", "budgets.keys.nobody"),
            ("fatal", "remotes.far.base_url"),
            ("fatal", "keys.alice"),
        ]
    )


def test_a_build_that_was_found_unfit_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"llama_cpp": "with AMX this build of llama.cpp crashes (SIGSEGV)"}
    monkeypatch.setattr(checking, "known_doubt", lambda engine, options: known.get(engine, ""))
    model_file(tmp_path / "a.gguf")
    toy = '[[models]]\nid = "toy"\nengine = "scripted"\n'
    config = toy + model("a.gguf", 'id = "a"') + model("a.gguf", 'id = "b"')
    (finding,) = checked(tmp_path, config)
    assert (finding.level, finding.key) == (Level.WARNING, "models[1].options.repack")
    assert finding.problem == known["llama_cpp"]
