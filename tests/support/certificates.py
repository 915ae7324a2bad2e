"""Certificates that sign themselves, for servers with TLS."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def certificate_files(
    folder: Path, days: int = 2, name: str = "localhost", also: str = ""
) -> tuple[Path, Path]:
    """A certificate for this name that is valid for so many days, and its key.

    ``also`` is a further alternative name, as OpenSSL writes it.
    """
    # Where it must be there, its absence is a failure.
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("openssl is needed to make a certificate")
    folder.mkdir(exist_ok=True)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = [f"DNS:{name}", *([also] if also else [])]
    command = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days {days} "
        f"-subj /CN={name} -addext subjectAltName={','.join(names)}"
    )
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return certificate, key
