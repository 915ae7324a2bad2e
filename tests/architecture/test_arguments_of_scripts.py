from __future__ import annotations

import subprocess

import pytest

from support.repository import ROOT


@pytest.mark.parametrize(
    "script",
    [
        "setup",
        "setup_vllm",
        "generate_protos",
        "check",
        "check_contract",
        "prove_gpu",
        "llama_cpp_wheel",
    ],
)
def test_a_script_refuses_what_it_does_not_know_in_one_line(script: str) -> None:
    done = subprocess.run(
        [str(ROOT / "scripts" / script), "--bogus"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{script}: --bogus: unknown; ")
    assert done.stderr.count("\n") == 1
