"""The image, the unit and their document, held to what the product needs and to each other."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from configparser import ConfigParser
from fnmatch import fnmatch
from pathlib import Path

import pytest

from quorate.settings import load_settings
from support.repository import ROOT, read, run

UNIT = "docs/systemd/quorate.service"
DOCUMENT = "docs/deploying.md"


def instructions() -> list[tuple[str, str]]:
    """Of the Containerfile: each keyword with what follows it, lines joined, comments left out."""
    lines = [line for line in read("Containerfile").splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    split = (line.partition(" ") for line in text.splitlines() if line)
    return [(keyword, " ".join(rest.split())) for keyword, _, rest in split]


def last(keyword: str) -> str:
    return [rest for each, rest in instructions() if each == keyword][-1]


def copied() -> list[str]:
    """Everything that is copied out of the checkout."""
    rests = [rest for each, rest in instructions() if each == "COPY" and "--from" not in rest]
    return [source for rest in rests for source in rest.split()[:-1]]


def unit() -> ConfigParser:
    # A name may stand there several times; the last one counts for systemd as well.
    parser = ConfigParser(strict=False, interpolation=None, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(read(UNIT))
    return parser


def test_the_image_runs_as_a_numbered_user_that_is_not_root() -> None:
    keywords = [keyword for keyword, _ in instructions()]
    user, group = last("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    assert f"--uid {user} " in last("RUN")
    last_stage = keywords[len(keywords) - keywords[::-1].index("FROM") :]
    assert "USER" in last_stage


def test_no_shell_stands_between_the_server_and_its_signals() -> None:
    command = json.loads(last("ENTRYPOINT")) + json.loads(last("CMD"))
    assert command == ["quorate", "serve", "--config", "/etc/quorate/quorate.toml"]
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_health_check_is_a_program_of_the_image() -> None:
    (program,) = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert f"COPY scripts/container_health /usr/local/bin/{program}\n" in read("Containerfile")
    script = ROOT / "scripts" / "container_health"
    assert script.stat().st_mode & 0o111
    assert script.read_text().startswith("#!/opt/quorate/bin/python\n")


def test_what_the_image_copies_exists_and_is_not_ignored() -> None:
    ignored = [line for line in read(".dockerignore").splitlines() if not line.startswith("#")]
    kept = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert ignored[0] == "*"
    assert copied()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in kept), source
    assert set(kept) == set(copied())


def test_the_image_copies_what_the_build_of_the_package_reads() -> None:
    project = tomllib.loads(read("pyproject.toml"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    named = [project["project"]["readme"], *project["project"]["license-files"], *packages]
    assert [one for one in named if one.partition("/")[0] not in copied()] == []


def test_the_image_has_the_version_and_extras_of_the_project() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    labels = dict(re.findall(r'(\S+)="([^"]*)"', last("LABEL")))
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]
    arguments = dict(rest.split("=", 1) for each, rest in instructions() if each == "ARG")
    assert set(arguments["EXTRAS"].split(",")) <= set(project["optional-dependencies"])


def test_the_data_of_the_image_outlive_it() -> None:
    assert f"QUORATE_HOME={last('VOLUME')} " in last("ENV")
    assert f"--home-dir {last('VOLUME')} " in last("RUN")


def test_the_unit_is_told_how_far_the_server_is_and_ends_it_alone() -> None:
    service = unit()["Service"]
    kept = {name: service[name] for name in ("Type", "KillMode", "OOMPolicy", "TimeoutStartSec")}
    assert kept == {
        "Type": "notify",
        "KillMode": "mixed",
        "OOMPolicy": "continue",
        "TimeoutStartSec": "infinity",
    }
    assert service["ExecStart"].endswith("quorate serve --config /etc/quorate/quorate.toml")


def test_the_unit_refuses_system_calls_and_does_not_list_what_is_allowed() -> None:
    """A list of those allowed would keep workers from confining themselves."""
    assert unit()["Service"]["SystemCallFilter"].startswith("~")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_knows_every_line_of_the_unit(tmp_path: Path) -> None:
    # What it runs need not be installed here.
    text = re.sub(
        r"=(?:/opt/quorate/bin/quorate|/bin/kill)\b", f"={shutil.which('true')}", read(UNIT)
    )
    (tmp_path / "quorate.service").write_text(text)
    done = run("systemd-analyze", "verify", "--man=no", str(tmp_path / "quorate.service"))
    assert (done.returncode, done.stdout) == (0, "")


def test_every_configuration_of_the_document_is_accepted(tmp_path: Path) -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", read(DOCUMENT), re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        path = tmp_path / "quorate.toml"
        path.write_text(block, encoding="utf-8")
        assert load_settings(path).models


def test_every_file_that_the_document_names_exists() -> None:
    text = read(DOCUMENT)
    linked = {ROOT / "docs" / target for target in re.findall(r"\]\(([^)#:]+)\)", text)}
    named = {ROOT / path for path in re.findall(r"\b(?:docs|scripts)/[\w./]*\w", text)}
    assert [str(path) for path in linked | named if not path.exists()] == []
