from __future__ import annotations

import functools
import io
import os
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from quorate.cli import program
from quorate.settings import load_settings
from support.repository import ROOT, commands, inline_code, read

DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/decisions.md",
    "clients/README.md",
)
# Rows of tables speak of a folder's content relative to it.
BASES = (ROOT, ROOT / "tests", ROOT / "runtime" / "quorate")
PATH = re.compile(r"[\w.-]*(?:/[\w.-]*)+|[\w.-]+\.(?:py|md|toml|txt|proto)")


@functools.cache
def help_of(*words: str) -> tuple[int, str]:
    with redirect_stdout(io.StringIO()) as shown:
        code = program.run([*words, "--help"])
    return code, shown.getvalue()


def quorate_commands(document: str) -> list[list[str]]:
    lines = [*commands(document), *inline_code(document)]
    return [shlex.split(line)[1:] for line in lines if line.startswith("quorate ")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_in_backticks_exists(document: str) -> None:
    paths = [code for code in inline_code(document) if PATH.fullmatch(code)]
    missing = [path for path in paths if not any((base / path).exists() for base in BASES)]
    # What the user makes, and what another project calls its file, is not ours.
    assert set(missing) - {"quorate.toml", ".venv/bin"} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file(document: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", read(document))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (ROOT / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_script_named_can_be_run(document: str) -> None:
    text = " ".join([*commands(document), *inline_code(document)])
    for script in set(re.findall(r"\bscripts/\w+", text)):
        assert os.access(ROOT / script, os.X_OK), script


def test_the_readme_gives_the_two_commands_to_begin_with() -> None:
    given = list(commands("README.md"))
    assert "scripts/demo" in given
    assert "scripts/test" in given


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    asked = quorate_commands("README.md")
    assert asked
    for command in asked:
        words = []
        for word in command:
            if not re.fullmatch(r"[a-z]+", word):
                break
            words.append(word)
        code, text = help_of(*words)
        assert code == 0, f"quorate {' '.join(words)}: {text}"
        for option in (word.partition("=")[0] for word in command if word.startswith("--")):
            assert re.search(rf"{option}\b", text), f"quorate {' '.join(words)} has no {option}"


def test_every_configuration_of_the_readme_is_accepted(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", read("README.md"), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        path = tmp_path / "quorate.toml"
        path.write_text(block, encoding="utf-8")
        assert load_settings(path).models


def test_the_readme_has_no_place_left_to_fill_in() -> None:
    rows = [line for line in read("README.md").splitlines() if line.startswith("|")]
    assert [row for row in rows if re.fullmatch(r"\|\s*[A-Z]+\s*\|", row)] == []
