from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from support.repository import ROOT, run


def test_the_generated_protobuf_is_fresh() -> None:
    if importlib.util.find_spec("grpc_tools") is None:
        pytest.skip("grpcio-tools is not installed")
    environment = {**os.environ, "PYTHON": sys.executable}
    done = run(str(ROOT / "scripts" / "generate_protos"), "--check", **environment)
    assert done.returncode == 0, done.stdout


def test_the_contract_follows_the_conventions_of_buf() -> None:
    buf = Path(sys.executable).with_name("buf")
    if not buf.exists():
        pytest.skip("buf is not installed beside this interpreter")
    done = run(str(buf), "lint", "proto")
    assert done.returncode == 0, done.stdout
