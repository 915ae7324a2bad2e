from __future__ import annotations

from pathlib import Path

import pytest

from quorate.access.about import ServerFacts
from quorate.api.grpc.settings import ServerSettings
from quorate.api.http.settings import HttpSettings
from quorate.app.about import commit, server_facts, start_lines
from quorate.engines.registry import engines
from quorate.ledger.settings import BudgetLimits, BudgetSettings
from quorate.request import Plan, WeightedModel
from quorate.settings import ModelSettings, Settings

SHA = "0123456789abcdef0123456789abcdef01234567"


def checkout(root: Path) -> Path:
    """A checkout with the program in it; returns the program's folder."""
    (root / ".git").mkdir(parents=True)
    package = root / "runtime" / "quorate"
    package.mkdir(parents=True)
    return package


@pytest.mark.parametrize("where", ["detached", "loose", "packed"])
def test_the_commit_of_a_checkout_is_found(tmp_path: Path, where: str) -> None:
    package = checkout(tmp_path)
    git = tmp_path / ".git"
    (git / "HEAD").write_text(f"{SHA}\n" if where == "detached" else "ref: refs/heads/main\n")
    if where == "loose":
        (git / "refs" / "heads").mkdir(parents=True)
        (git / "refs" / "heads" / "main").write_text(f"{SHA}\n")
    if where == "packed":
        (git / "packed-refs").write_text(f"# pack-refs\n{'f' * 40} refs/x\n{SHA} refs/heads/main\n")
    assert commit(package) == SHA[:12]


def test_the_commit_of_a_work_tree_stands_in_its_repository(tmp_path: Path) -> None:
    own = tmp_path / "repository" / ".git" / "worktrees" / "tree"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/branch\n")
    (own / "commondir").write_text("../..\n")
    heads = tmp_path / "repository" / ".git" / "refs" / "heads"
    heads.mkdir(parents=True)
    (heads / "branch").write_text(SHA)
    package = tmp_path / "tree" / "runtime" / "quorate"
    package.mkdir(parents=True)
    (tmp_path / "tree" / ".git").write_text(f"gitdir: {own}\n")
    assert commit(package) == SHA[:12]


@pytest.mark.parametrize("head", [None, "", "ref: refs/heads/gone", "ref: ../../etc/passwd"])
def test_a_commit_that_nobody_can_tell_is_empty(tmp_path: Path, head: str | None) -> None:
    package = checkout(tmp_path)
    if head is not None:
        (tmp_path / ".git" / "HEAD").write_text(head)
    assert commit(package) == ""
    assert commit(tmp_path / "site-packages" / "quorate") == ""


def test_a_server_knows_its_engines_and_its_machine() -> None:
    facts = server_facts()
    assert [engine.name for engine in facts.engines] == list(engines())
    by_name = {engine.name: engine for engine in facts.engines}
    assert (by_name["scripted"].installed, by_name["scripted"].version) == (True, "")
    assert by_name["llama_cpp"].version.startswith("0.")
    assert facts.cores >= 1
    assert facts.memory_bytes > 2**20
    assert facts.version


def test_the_lines_of_a_start_name_what_an_operator_looks_for() -> None:
    settings = Settings(
        server=ServerSettings(tls_certificate="/c.pem", tls_key="/k.pem", log_level="debug"),
        models=(ModelSettings(model="a", id="a"),),
        profiles={"one": Plan((WeightedModel("a"),)), "two": Plan((WeightedModel("a"),))},
        default_profile="two",
        budgets=BudgetSettings(BudgetLimits(usd_per_day=1.0), {"alice": BudgetLimits()}),
        http=HttpSettings("127.0.0.1:2"),
    )
    addresses = "0.0.0.0:1", "127.0.0.1:2"
    first, second, third, fourth = start_lines(
        settings, ServerFacts("1.2.3", "abc"), addresses, "/q.toml"
    )
    assert first.startswith("quorate 1.2.3 (abc), Python 3.")
    assert second == (
        "configuration /q.toml: models a; profiles one, two (default); remotes none; keys none; "
        "budgets of all, alice"
    )
    assert third == "listening on 0.0.0.0:1, TLS by /c.pem, log level debug"
    assert fourth == "listening on 127.0.0.1:2 for HTTP, no TLS"
