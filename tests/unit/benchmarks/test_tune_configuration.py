"""A user's file with changes: as a server takes it, as a patch, as a whole."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quorate_bench.tuning.configuration import (
    Configuration,
    plan_of_profile,
    plan_with,
    server_part,
)
from quorate_bench.tuning.search import AS_IT_IS
from quorate_bench.tuning.variants import Key, Variant

from quorate.client.requests import generate_request
from quorate.settings import parse_settings

TEXT = """\
# Mine.
[server]
listen = "0.0.0.0:50051"   # everybody
tls_certificate = "cert.pem"
tls_key = "key.pem"
max_running = 7

[[models]]
model = "models/large.gguf"
# It is slow.
[models.options]
context_length = 4096  # enough
# batch_tokens = 512

[[models]]
id = "small"
model = "tiny"
options = { context_length = 2048 }  # inline
load = false

[profiles.pair]
members = ["large", { model = "small", weight = 0.5 }]
rule = "geometric"
drafts = "off"  # as somebody said

[profiles.careful]
stages = [{ members = ["small"], confidence = 0.7 }, { members = ["large"] }]

[keys.alice]
token_env = "ALICE"

[budgets]
joules_per_hour = 1.0

[fleet]
pin_cores = true
"""
IDS = ("large", "small")
FILES = {"large": Path("/where/models/large.gguf"), "small": Path("/home/tiny.gguf")}


def configuration(text: str = TEXT, ids: tuple[str, ...] = IDS) -> Configuration:
    engines = dict.fromkeys(ids, "llama_cpp")
    return Configuration(
        text, tomllib.loads(text), ids, FILES, engines,
        lambda path, kind: path.with_suffix(f".{kind}.gguf"),
    )  # fmt: skip


def variant(changes: Mapping[Key, Any]) -> Variant:
    return Variant(tuple(sorted(changes.items())))


CHANGES: dict[Key, Any] = {
    ("models", "large", "cores"): 2,
    ("models", "large", "options", "batch_tokens"): 1024,
    ("models", "small", "options", "batch_tokens"): 256,
    ("models", "small", "options", "context_length"): 1024,
    ("profiles", "pair", "drafts"): "auto",
    ("profiles", "pair", "drafts_most"): 4,
    ("fleet", "pin_cores"): False,
}


@settings(max_examples=25, deadline=None)
@given(st.sets(st.sampled_from(list(CHANGES))))
def test_a_file_is_written_with_its_changes_and_its_comments(keys: set[Key]) -> None:
    wanted = variant({key: CHANGES[key] for key in keys})
    written = configuration().written(wanted)
    found = parse_settings(tomllib.loads(written), Path("/where"))
    for key in keys:
        assert value_at(tomllib.loads(written), key) == CHANGES[key]
    assert found.profiles.keys() == {"pair", "careful"}
    # Every comment of the file is there, and nothing is lost.
    for line in TEXT.splitlines():
        comment = line[line.index("#") :] if "#" in line else ""
        assert comment in written
    if not keys:
        assert written == TEXT


def value_at(tables: Mapping[str, Any], key: Key) -> Any:
    found: Any = tables
    for part in key:
        found = found[IDS.index(part)] if found is tables.get("models") else found[part]
    return found


def test_the_example_can_be_tuned_and_written() -> None:
    text = (Path(__file__).parents[3] / "quorate.example.toml").read_text()
    ids = ("smollm2-135m-instruct", "smollm2-360m-instruct")
    wanted = variant(
        {
            ("models", ids[0], "cores"): 2,
            ("models", ids[0], "options", "batch_tokens"): 256,
            ("models", ids[1], "options", "batch_tokens"): 256,
            ("profiles", "pair", "drafts"): "off",
        }
    )
    written = configuration(text, ids).written(wanted)
    found = parse_settings(tomllib.loads(written), Path("/where"))
    assert [one.options["batch_tokens"] for one in found.models] == [256, 256]
    assert written.count("#") == text.count("#")


def test_a_server_gets_what_decides_how_fast_models_are_and_nothing_else() -> None:
    served = tomllib.loads(configuration().served(AS_IT_IS, IDS))
    assert served.keys() == {"server", "routing", "ledger", "models", "fleet", "profiles"}
    assert served["server"] == {"listen": "127.0.0.1:0", "max_running": 7}
    assert served["ledger"] == {"path": "off"}
    large, small = served["models"]
    assert large["model"] == "/where/models/large.gguf"
    assert (small["id"], small["model"], small["load"]) == ("small", "/home/tiny.gguf", True)
    # The cascade is asked for by its name, the vote is spelled out.
    assert served["profiles"].keys() == {"careful"}
    parse_settings(served, Path("/"))


def test_a_server_has_the_models_that_are_needed() -> None:
    served = tomllib.loads(configuration().served(AS_IT_IS, ("small",)))
    assert [one["id"] for one in served["models"]] == ["small"]
    assert "profiles" not in served


def test_the_patch_says_where_each_change_belongs() -> None:
    patch = configuration().patch(variant(CHANGES))
    assert patch == (
        "# in [[models]], large:\n"
        "cores = 2\n[models.options]\nbatch_tokens = 1024\n\n"
        "# in [[models]], small:\n"
        "[models.options]\nbatch_tokens = 256\ncontext_length = 1024\n\n"
        "[fleet]\npin_cores = false\n\n"
        '[profiles.pair]\ndrafts = "auto"\ndrafts_most = 4\n'
    )


def test_a_model_of_another_type_keeps_its_name_and_gets_another_file() -> None:
    wanted = variant({("models", "large", "quantisation"): "Q8_0"})
    written = tomllib.loads(configuration().written(wanted))["models"][0]
    assert (written["id"], written["model"]) == ("large", "/where/models/large.Q8_0.gguf")
    served = tomllib.loads(configuration().served(wanted, IDS))["models"][0]
    assert served["model"] == "/where/models/large.Q8_0.gguf"
    assert written["options"] == {"context_length": 4096}


def test_options_of_a_plan_need_no_other_server_and_come_with_the_request() -> None:
    both = variant({key: CHANGES[key] for key in list(CHANGES)[-3:]})
    assert server_part(both).changes == ((("fleet", "pin_cores"), False),)
    plan = plan_of_profile("pair", tomllib.loads(TEXT)["profiles"]["pair"])
    assert plan_with(plan, both) == {
        "models": {"large": None, "small": 0.5}, "rule": "geometric", "drafts": "auto",
        "drafts_most": 4,
    }  # fmt: skip
    generate_request("x", **plan_with(plan, both))


@pytest.mark.parametrize(
    ("table", "options", "models"),
    [
        ({"members": ["a"]}, {"models": {"a": None}}, ("a",)),
        ({"members": ["a", "b"], "on_failure": "fail", "beam_width": 4},
         {"models": {"a": None, "b": None}, "failure_policy": "fail", "beam_width": 4}, ("a", "b")),
        ({"members": ["a", "b"], "on_failure": "auto", "weighting": "bayesian"},
         {"models": {"a": None, "b": None}, "weighting": "bayesian"}, ("a", "b")),
        ({"stages": [{"members": ["b"]}, {"members": ["a"]}]}, {"profile": "p"}, ("a", "b")),
        ({"answers": ["b", {"model": "a", "weight": 2}]}, {"profile": "p"}, ("a", "b")),
        ({"members": ["a", "b"], "weighting": "gated", "gate_leader": "a", "gate_share": 0.1},
         {"models": {"a": None, "b": None}, "weighting": "gated", "gate_leader": "a",
          "gate_share": 0.1}, ("a", "b")),
    ],
)  # fmt: skip
def test_a_profile_is_asked_for_as_a_client_would(
    table: dict[str, Any], options: dict[str, Any], models: tuple[str, ...]
) -> None:
    plan = plan_of_profile("p", table)
    assert (plan.options, plan.models) == (options, models)
    generate_request("x", **plan.options)
