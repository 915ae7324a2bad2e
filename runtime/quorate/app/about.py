"""Finds out what this server is: version, commit, engines and machine."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

import quorate
from quorate.access.about import EngineFacts, ServerFacts
from quorate.app.checking import memory_bytes
from quorate.costs.machine import this_machine
from quorate.engines.registry import EngineRegistration, engines
from quorate.ledger.settings import BudgetLimits
from quorate.settings import Settings

_REF = "ref: "
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_COMMIT_DIGITS = 12


def server_facts() -> ServerFacts:
    """What can be told of this server; reads the lists of installed packages, which takes a moment.

    Nothing is imported and no program run.
    """
    machine = this_machine()
    packages = packages_distributions()
    return ServerFacts(
        version=program_version(),
        commit=commit(Path(quorate.__file__).parent),
        started_at=time.time(),
        engines=tuple(_engine(one, packages.get(one.library, [])) for one in engines().values()),
        cpu=machine.cpu,
        cores=machine.cores,
        memory_bytes=memory_bytes(),
        gpus=machine.gpus,
        system=f"{platform.system()} {platform.release()} {platform.machine()}",
    )


def start_lines(
    settings: Settings, facts: ServerFacts, addresses: tuple[str, str], source: str
) -> Iterator[str]:
    """What an operator wants to find in the log of a start, for people.

    Args:
        settings: What is served.
        facts: Of this server.
        addresses: What it listens on: for gRPC, and for HTTP or "".
        source: What the settings were read from; "" where they stand in no file.
    """
    known = f" ({facts.commit})" if facts.commit else ""
    yield (
        f"quorate {facts.version or 'of no version'}{known}, "
        f"Python {platform.python_version()}, process {os.getpid()}"
    )
    default = settings.default_profile
    profiles = [f"{name} (default)" if name == default else name for name in settings.profiles]
    limited = [*(["all"] if settings.budgets.everybody != BudgetLimits() else [])]
    limited += settings.budgets.keys
    parts = {
        "models": [model.id for model in settings.models],
        "profiles": profiles,
        "remotes": list(settings.remotes),
        "keys": list(settings.keys),
        "budgets of": limited,
    }
    told = "; ".join(f"{name} {', '.join(each) or 'none'}" for name, each in parts.items())
    yield f"configuration {source or 'of the command line'}: {told}"
    address, http = addresses
    tls = _tls(settings.server.tls_certificate)
    yield f"listening on {address}, {tls}, log level {settings.server.log_level}"
    if http:
        yield f"listening on {http} for HTTP, {_tls(settings.http.tls_certificate)}"


def _tls(certificate: str) -> str:
    return f"TLS by {certificate}" if certificate else "no TLS"


def commit(package: Path) -> str:
    """The commit that the program was built from, as its installer or its checkout tells.

    Args:
        package: Folder of the program.
    """
    found = _installed_commit() or _checked_out(package)
    return found[:_COMMIT_DIGITS] if _COMMIT.fullmatch(found) else ""


def program_version() -> str:
    """The version that is installed; "" where the sources are only on the path."""
    try:
        return version_of("quorate")
    except PackageNotFoundError:
        return ""


def _engine(engine: EngineRegistration, distributions: list[str]) -> EngineFacts:
    if not engine.library:
        return EngineFacts(engine.name)
    installed = find_spec(engine.library) is not None
    version = version_of(distributions[0]) if distributions else ""
    return EngineFacts(engine.name, installed, version)


def _installed_commit() -> str:
    """What pip notes of a program that it took out of a repository."""
    try:
        noted = distribution("quorate").read_text("direct_url.json")
        found = json.loads(noted or "{}").get("vcs_info", {}).get("commit_id", "")
    except (PackageNotFoundError, ValueError, AttributeError):
        return ""
    return found if isinstance(found, str) else ""


def _checked_out(package: Path) -> str:
    """The commit of the checkout that the program runs in, of which a work tree is one as well."""
    if package.parent.name != "runtime":
        return ""
    git = package.parent.parent / ".git"
    try:
        if git.is_file():
            git = git.parent / git.read_text().partition("gitdir: ")[2].strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith(_REF):
            return head
        name = head.removeprefix(_REF)
        shared = git / "commondir"
        root = git / shared.read_text().strip() if shared.is_file() else git
        if (root / name).is_file():
            return (root / name).read_text().strip()
        packed = (root / "packed-refs").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")
