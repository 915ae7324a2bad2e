from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from quorate.cli.failures import failure_of
from quorate.cli.program import run
from quorate.errors import BudgetSpent
from support.command_line import TWO_MODELS, Ask, Serving, complaint, serving
from support.fake_dispatch import FakeDispatcher, raising
from support.service import fake_service
from support.streams import refused

CONFIG = f"""{TWO_MODELS}
[ledger]
path = "kept.sqlite3"

[routing]
probe = false
policy = "reject"

[budgets]
joules_per_day = 5000
usd_per_hour = 1.5

[budgets.keys.poor]
joules_per_day = 0

[keys.poor]
token_env = "POOR_TOKEN"

[keys.team]
token_env = "TEAM_TOKEN"

[keys.other]
token_env = "OTHER_TOKEN"

[keys.owner]
token_env = "OWNER_TOKEN"
rights = ["generate", "accounting"]
"""
TOKENS = {"TEAM_TOKEN": "one", "OTHER_TOKEN": "two", "OWNER_TOKEN": "three", "POOR_TOKEN": "four"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(home: Path) -> Iterator[Serving]:
    """A server that has answered two requests of ``team`` and one of ``other``."""
    with pytest.MonkeyPatch.context() as patch:
        for name, token in TOKENS.items():
            patch.setenv(name, token)
        with serving(home, CONFIG) as served:
            for token, member in (("one", "alpha"), ("one", "beta"), ("two", "alpha")):
                done = served.asked(
                    home,
                    *("generate", "go on", "--model", member, "--temperature", "0"),
                    QUORATE_TOKEN=token,
                )
                assert done.returncode == 0, done.stderr
            yield served


def spent(ask: Ask, *arguments: str, token: str = "three") -> str:
    done = ask("spend", *arguments, QUORATE_TOKEN=token)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def read_from_file(here: Ask, home: Path, *arguments: str) -> str:
    done = here("spend", *arguments, "--ledger", str(home / "kept.sqlite3"))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def lines(text: str, event: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, text.splitlines()) if line["event"] == event]


def test_sums_are_made_by_what_is_named(ask: Ask) -> None:
    by_key = lines(spent(ask, "--by", "key", "--json"), "spend")
    assert {line["group"]["key"]: line["requests"] for line in by_key} == {"team": 2, "other": 1}
    by_both = lines(spent(ask, "--by", "model", "--by", "plan-kind", "--json"), "spend")
    groups = {(line["group"]["model"], line["group"]["plan_kind"]) for line in by_both}
    assert {("alpha", "single"), ("beta", "single")} <= groups


def test_filters_narrow_what_is_counted(ask: Ask) -> None:
    def requests(*arguments: str) -> int:
        found = lines(spent(ask, "--by", "plan-kind", "--json", *arguments), "spend")
        return sum(int(line["requests"]) for line in found)

    assert requests() == 3
    assert requests("--key", "team") == 2
    assert requests("--model", "beta") == 1
    assert requests("--since", "1h") == 3
    assert requests("--until", "2001-01-01") == 0


def test_the_windows_of_the_budget_stand_under_the_sums(ask: Ask) -> None:
    out = spent(ask)
    assert out.splitlines()[0].startswith("model  requests  tokens in  out")
    assert "joules per day" in out
    assert "spent of 5.00 kJ" in out
    assert "usd per hour" in out
    assert "$0 spent of $1.50" in out
    windows = lines(spent(ask, "--json"), "budget")
    assert [(window["unit"], window["limit"]) for window in windows] == [
        ("joules", 5000.0),
        ("usd", 1.5),
    ]


def test_a_caller_without_the_right_sees_its_own_spending_alone(ask: Ask) -> None:
    out = spent(ask, "--by", "key", "--json", token="two")
    assert [line["group"] for line in lines(out, "spend")] == [{"key": "other"}]
    done = ask("spend", "--key", "team", QUORATE_TOKEN="two")
    assert complaint(done, 1) == "quorate: key other does not have the right 'accounting'\n"


async def test_a_spent_budget_is_one_line_that_tells_when_to_try_again() -> None:
    dispatcher = FakeDispatcher(raising(BudgetSpent("usd per day", "$2 of $2 are spent", 5400.0)))
    async with fake_service(dispatcher) as service, service.client() as client:
        error = await refused(client.complete("x"))
    assert error.violations == (("usd per day", "$2 of $2 are spent"),)
    assert failure_of(error).text == (
        "quorate: budget of usd per day: $2 of $2 are spent; try again in 1 h 30 min"
    )


def test_a_request_that_the_budget_forbids_is_one_line(ask: Ask) -> None:
    done = ask("generate", "go on", "--model", "alpha", QUORATE_TOKEN="four")
    assert "budget of joules per day of key poor" in complaint(done, 1)


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_missing_or_wrong_token_is_one_line(ask: Ask, token: str) -> None:
    assert "token" in complaint(ask("spend", QUORATE_TOKEN=token), 1)


def test_a_token_does_not_leave_the_machine_in_plain_text(here: Ask) -> None:
    done = here("spend", "--target", "192.0.2.1:1", QUORATE_TOKEN="secret")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("quorate: QUORATE_TOKEN: would go to 192.0.2.1:1 in plain text")
    assert "secret" not in done.stderr


def test_charges_of_the_server_and_of_its_file_are_the_same(
    ask: Ask, here: Ask, home: Path
) -> None:
    asked = spent(ask, "--charges", "--json")
    assert asked == read_from_file(here, home, "--charges", "--json")
    charges = [json.loads(line) for line in asked.splitlines()]
    assert [charge["key"] for charge in charges] == ["other", "team", "team"]
    assert {charge["outcome"] for charge in charges} == {"finished"}


def test_sums_of_the_server_and_of_its_file_are_the_same(ask: Ask, here: Ask, home: Path) -> None:
    asked = spent(ask, "--by", "day", "--by", "model", "--csv")
    assert asked == read_from_file(here, home, "--by", "day", "--by", "model", "--csv")
    rows = list(csv.DictReader(asked.splitlines()))
    assert {"alpha", "beta"} <= {row["model"] for row in rows}


def test_as_many_charges_are_listed_as_are_wanted(ask: Ask) -> None:
    out = spent(ask, "--charges", "--limit", "2", "--csv")
    assert [row["key"] for row in csv.DictReader(out.splitlines())] == ["other", "team"]


def test_without_a_server_the_ledger_of_the_data_folder_is_read(
    server: Serving,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with (
        closing(sqlite3.connect(home / "kept.sqlite3")) as kept,
        closing(sqlite3.connect(tmp_path / "ledger.sqlite3")) as copy,
    ):
        kept.backup(copy)
    # In this process, since somebody may run a server at the real address.
    monkeypatch.setattr("quorate.client.DEFAULT_TARGET", "127.0.0.1:1")
    monkeypatch.setenv("QUORATE_HOME", str(tmp_path))
    monkeypatch.delenv("QUORATE_TARGET", raising=False)
    assert run(["spend", "--by", "key", "--csv"]) == 0
    told = capsys.readouterr()
    assert told.err == f"nothing answers at 127.0.0.1:1; reading {tmp_path / 'ledger.sqlite3'}\n"
    assert [row["key"] for row in csv.DictReader(told.out.splitlines())] == ["other", "team"]


def test_without_a_server_and_a_ledger_it_is_told_how_to_start_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("quorate.client.DEFAULT_TARGET", "127.0.0.1:1")
    monkeypatch.setenv("QUORATE_HOME", str(tmp_path))
    monkeypatch.delenv("QUORATE_TARGET", raising=False)
    assert run(["spend"]) == 1
    assert capsys.readouterr().err == (
        "quorate: nothing listens at 127.0.0.1:1; start it with: quorate serve\n"
    )


def test_a_server_that_was_named_and_does_not_answer_is_not_replaced_by_a_file(
    here: Ask, tmp_path: Path
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "ledger.sqlite3").touch()
    done = here("spend", "--target", "127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("quorate: nothing listens at 127.0.0.1:1")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--csv", "--json"), "--csv and --json exclude each other"),
        (("--charges", "--by", "day"), "--by sums up and --charges does not"),
        (("--limit", "3"), "--limit counts charges"),
        (("--by", "week"), "--by"),
        (("--since", "yesterday"), "--since: must be so long ago"),
        (("--ledger", "nowhere.sqlite3"), "there is no ledger"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    misused: Callable[..., str], arguments: tuple[str, ...], told: str
) -> None:
    assert told in misused("spend", *arguments)


def test_the_ledger_of_a_running_server_is_copied_whole(
    server: Serving, here: Ask, home: Path, tmp_path: Path
) -> None:
    copy, ledger = tmp_path / "copy.sqlite3", home / "kept.sqlite3"
    asked = ("spend", "--ledger", str(ledger), "--backup", str(copy))
    assert here(*asked).stdout.startswith(f"{ledger}: copied to {copy}, ")
    sums = [here("spend", "--ledger", str(path), "--csv").stdout for path in (ledger, copy)]
    assert sums[0] == sums[1] != ""
    assert "is there already; name another file, or give --force" in complaint(here(*asked), 2)
    [line] = here(*asked, "--force", "--json").stdout.splitlines()
    assert json.loads(line)["bytes"] == copy.stat().st_size


@pytest.mark.parametrize("also", [["--charges"], ["--csv"], ["--target", "localhost:1"]])
def test_a_backup_is_asked_for_alone(misused: Callable[..., str], also: list[str]) -> None:
    assert "--backup copies a file of this machine" in misused("spend", "--backup", "x", *also)
