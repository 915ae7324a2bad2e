"""Archives of packages, fetched by pip and npm as they are configured, and held to their pins."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fetching.errors import FetchFailed

SECONDS_FOR_A_PACKAGE = 600
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def fetch_wheels(requirements: Sequence[str], folder: Path) -> list[Path]:
    """Puts the archives of some requirements into a folder; those that are there and right stay.

    Args:
        requirements: Lines for pip, ``NAME==VERSION`` with a hash for each archive that will do.
        folder: Each archive appears in it whole or not at all.

    Returns:
        The archives, in the order of the requirements.

    Raises:
        FetchFailed: pip cannot get one of them, or gets another one.
    """
    found = {requirement: _wheel_of(requirement, folder) for requirement in requirements}
    if missing := [requirement for requirement, wheel in found.items() if wheel is None]:
        names = [requirement.partition(" ")[0] for requirement in missing]
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            wanted = Path(scratch) / "requirements.txt"
            wanted.write_text("\n".join(missing), "utf-8")
            # Its cache would keep every part a second time.
            pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
            options = ("--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes")
            files = ("--dest", scratch, "--requirement", str(wanted))
            _run(_listed(names), *pip, "download", *options, *files)
            for wheel in Path(scratch).glob("*.whl"):
                wheel.replace(folder / wheel.name)
        found |= {requirement: _wheel_of(requirement, folder) for requirement in missing}
    return [wheel for wheel in found.values() if wheel is not None]


def fetch_npm_archive(package: str, integrity: str, folder: Path) -> Path:
    """Puts the archive of one package into a folder and returns its path.

    Raises:
        FetchFailed: npm cannot get it, or it is not the one that was pinned.
    """
    if shutil.which("npm") is None:
        raise FetchFailed(f"{package} comes by npm, which is not installed here")
    _run(package, "npm", "pack", package, "--silent", "--pack-destination", str(folder))
    (archive,) = folder.glob("*.tgz")
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if integrity != f"sha512-{base64.b64encode(digest).decode()}":
        raise FetchFailed(f"{package}: the archive is not the one that was pinned")
    return archive


def sha256(path: Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _wheel_of(requirement: str, folder: Path) -> Path | None:
    """The archive of a requirement, or None where none in the folder has its hash."""
    name, _, version = requirement.partition(" ")[0].partition("==")
    for wheel in folder.glob(f"{name.replace('-', '_')}-{version}-*.whl"):
        if sha256(wheel) in _HASH.findall(requirement):
            return wheel
    return None


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def _run(package: str, *command: str) -> None:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS_FOR_A_PACKAGE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise FetchFailed(f"{package} did not come in {SECONDS_FOR_A_PACKAGE} s") from None
    if done.returncode:
        raise FetchFailed(f"cannot get {package}: {_reason(done.stderr)}")


def _reason(output: str) -> str:
    """What a package client complains of: its last line that is an error, or its last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"ERROR|npm (?:ERR!|error)", line)]
    told = [line for line in errors if "complete log" not in line]
    return (told or lines or ["it gives no reason"])[-1]
