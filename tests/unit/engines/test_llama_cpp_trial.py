"""A build of llama.cpp of unknown origin is tried once, and the verdict is kept."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from quorate.engines.llama_cpp import build, trial, trial_run
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.llama_cpp.registration import doubt, prepare
from quorate.engines.llama_cpp.trial import COMMAND, Trials, Verdict, advice
from quorate.engines.llama_cpp.trial_model import VOCABULARY, trial_model

AMX = "processor\t: 0\nflags\t\t: fpu avx512f amx_bf16 amx_tile amx_int8\n"
NO_AMX = "processor\t: 0\nflags\t\t: fpu avx2\n"
SOUND = 'print(\'{"kernels": true, "difference": 0.05}\')'
ABORTS = "import os; os.abort()"


@pytest.fixture(autouse=True)
def of_unknown_origin(monkeypatch):
    monkeypatch.setattr(trial, "keeps_tile_stores", lambda: False)
    monkeypatch.setattr(trial, "library_digest", lambda: "library")


class Machine:
    """A processor, a folder for verdicts, and a program of the trial that counts its runs."""

    def __init__(self, folder: Path, cpuinfo: str = AMX) -> None:
        self.verdicts = folder / "cache" / "trials"
        self._cpuinfo = folder / "cpuinfo"
        self._cpuinfo.write_text(cpuinfo)
        self._runs = folder / "runs"
        self._runs.touch()

    def trials(self, program: str = SOUND, seconds: float = 20.0) -> Trials:
        count = f"open({str(self._runs)!r}, 'a').write('x')\n"
        command = (sys.executable, "-S", "-c", count + program)
        return Trials(self.verdicts, command, seconds, self._cpuinfo)

    @property
    def runs(self) -> int:
        return len(self._runs.read_text())


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("program", "sound", "reason"),
    [
        (SOUND, True, ""),
        ('print(\'{"kernels": false, "difference": 0.0}\')', True, ""),
        ('print(\'{"kernels": true, "difference": 0.7}\')', False, "computes wrong numbers"),
        ('print(\'{"kernels": true, "difference": null}\')', False, "computes wrong numbers"),
        (ABORTS, False, "crashes (SIGABRT)"),
        ("import os; os.kill(os.getpid(), 4)", False, "crashes (SIGILL)"),
        ("import os; os.kill(os.getpid(), 11)", False, "crashes (SIGSEGV)"),
        ("import os; os.kill(os.getpid(), 14)", False, "hangs (for 20 s)"),
    ],
)
def test_a_verdict_outlives_the_process_that_found_it(program, sound, reason, machine):
    assert machine.trials(program).verdict() == Verdict(sound, reason)
    assert machine.trials(program).verdict() == Verdict(sound, reason)
    assert machine.trials(program).known_verdict() == Verdict(sound, reason)
    assert machine.runs == 1


def test_a_build_that_hangs_is_ended(machine):
    hangs = "import signal; signal.pause()"
    assert machine.trials(hangs, seconds=0.5).verdict() == Verdict(False, "hangs (for 0.5 s)")
    assert machine.trials().known_verdict() == Verdict(False, "hangs (for 0.5 s)")


def test_what_looked_like_a_hang_on_a_busy_machine_is_tried_again_another_day(machine):
    machine.trials("import os; os.kill(os.getpid(), 14)").verdict()
    (kept,) = machine.verdicts.glob("*.json")
    yesterday = kept.stat().st_mtime - 86_500
    os.utime(kept, (yesterday, yesterday))
    assert machine.trials().verdict() == Verdict(True)
    machine.trials().verdict()
    assert machine.runs == 2


@pytest.mark.parametrize(
    "program",
    ["print('no')", "print('[]')", "raise SystemExit(3)", "import os; os.kill(os.getpid(), 9)"],
)
def test_what_says_nothing_of_the_build_is_tried_again_at_the_next_start(program, machine):
    trials = machine.trials(program)
    verdict = trials.verdict()
    assert not verdict.sound
    assert "could not be tried" in verdict.reason
    assert trials.verdict() == verdict
    assert machine.runs == 1
    assert machine.trials(SOUND).verdict() == Verdict(True)


@pytest.mark.parametrize("known", [True, False])
def test_nothing_is_tried_where_it_is_no_question(known, monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "keeps_tile_stores", lambda: known)
    machine = Machine(tmp_path, AMX if known else NO_AMX)
    trials = machine.trials(ABORTS)
    assert trials.verdict() is None
    assert trials.known_verdict() is None
    assert machine.runs == 0
    assert not machine.verdicts.exists()


def test_a_processor_that_nothing_describes_has_no_amx(tmp_path):
    assert Trials(tmp_path, ("false",), cpuinfo=tmp_path / "absent").verdict() is None


def test_looking_for_a_verdict_tries_nothing(machine):
    assert machine.trials().known_verdict() is None
    assert machine.runs == 0


def test_models_that_load_together_wait_for_one_trial(machine):
    trials = machine.trials()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: trials.verdict(), range(8)))
    assert found == [Verdict(True)] * 8
    assert machine.runs == 1


def test_servers_that_start_together_wait_for_one_trial(machine, tmp_path):
    started, go_on = tmp_path / "started", tmp_path / "go_on"
    os.mkfifo(started)
    os.mkfifo(go_on)
    program = f"open({str(started)!r}, 'w').close(); open({str(go_on)!r}).read()\n{SOUND}"
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(machine.trials(program).verdict)
        # Opened once the program runs.
        started.open().close()
        second = pool.submit(machine.trials(program).verdict)
        go_on.open("w").close()
        assert (first.result(20), second.result(20)) == (Verdict(True), Verdict(True))
    assert machine.runs == 1


def test_another_library_and_another_processor_are_tried_anew(machine, monkeypatch, tmp_path):
    assert machine.trials(ABORTS).verdict() == Verdict(False, "crashes (SIGABRT)")
    monkeypatch.setattr(trial, "library_digest", lambda: "another")
    assert machine.trials(SOUND).verdict() == Verdict(True)
    (tmp_path / "cpuinfo").write_text(AMX.replace("avx512f", "avx512f avx512_fp16"))
    assert machine.trials(SOUND).verdict() == Verdict(True)
    assert machine.runs == 3


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b'{"sound": true}', b'{"sound": 1, "reason": ""}', b"[" * 4000],
)
def test_what_was_kept_badly_is_found_out_anew(content, machine):
    machine.trials().verdict()
    (kept,) = machine.verdicts.glob("*.json")
    kept.write_bytes(content)
    assert machine.trials().known_verdict() is None
    assert machine.trials().verdict() == Verdict(True)
    assert machine.runs == 2
    assert json.loads(kept.read_text()) == {"sound": True, "reason": ""}


def test_where_nothing_can_be_kept_each_process_tries_once(machine):
    machine.verdicts.parent.write_text("a file")
    trials = machine.trials(ABORTS)
    assert [trials.verdict() for _ in range(3)] == [Verdict(False, "crashes (SIGABRT)")] * 3
    assert machine.runs == 1


def test_a_library_that_cannot_be_read_is_not_repacked_for(machine, monkeypatch):
    def unreadable():
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(trial, "library_digest", unreadable)
    assert machine.trials().verdict() == Verdict(False, "cannot be tried: Permission denied")
    assert machine.trials().known_verdict() is None


def test_one_line_says_what_is_wrong_and_what_mends_it(machine, caplog):
    caplog.set_level(logging.INFO)
    trials = machine.trials(ABORTS)
    for _ in range(3):
        trials.verdict()
    started, told = (record.getMessage() for record in caplog.records)
    assert "trying once" in started
    assert "with AMX this build of llama.cpp crashes (SIGABRT)" in told
    assert "CXXFLAGS='-fno-dse -U__AVX512FP16__' pip install" in told
    assert "--no-cache-dir" in told
    assert str(machine.verdicts) in told


def test_a_sound_build_repacks_and_another_does_not_and_a_choice_stands(machine, tmp_path):
    auto = LlamaCppOptions()
    assert prepare(auto, machine.trials(SOUND)) == {"repack": "on"}
    assert doubt(auto, machine.trials()) == ""
    (tmp_path / "b").mkdir()
    bad = Machine(tmp_path / "b")
    assert doubt(auto, bad.trials(ABORTS)) == ""
    assert prepare(auto, bad.trials(ABORTS)) == {}
    assert doubt(auto, bad.trials()) == advice(Verdict(False, "crashes (SIGABRT)"))
    for choice in ("on", "off"):
        chosen = LlamaCppOptions(repack=choice)
        assert prepare(chosen, machine.trials(ABORTS)) == {}
        assert doubt(chosen, bad.trials()) == ""
    assert (machine.runs, bad.runs) == (1, 1)


def test_the_real_trial_finds_this_build_sound_where_it_is_known_to_be(monkeypatch, tmp_path):
    """Where the processor has no AMX it says so, and where the build is not ours it may die."""
    ran = subprocess.run([*COMMAND, "60"], capture_output=True, text=True, check=False)
    if build.keeps_tile_stores() or ran.returncode >= 0:
        found = json.loads(ran.stdout)
        assert found["difference"] < 0.15
    verdict = Trials(tmp_path, cpuinfo=Machine(tmp_path)._cpuinfo).verdict()
    assert verdict.sound is (ran.returncode == 0)


def test_the_trial_notices_a_layer_that_is_computed_wrongly(tmp_path):
    def logits(content):
        path = tmp_path / "m.gguf"
        path.write_bytes(content)
        return trial_run._logits(path, repack=False)

    sound = trial_model()
    rows = logits(sound)
    assert rows.shape == (4, VOCABULARY)
    assert trial_run.difference(rows, logits(sound)) == 0.0
    # The last tensor is a matrix of the last layer; its blocks of 136 bytes begin with a factor.
    size = 256 * 512 // 256 * 136
    blocks = np.frombuffer(sound[-size:], np.uint8).reshape(-1, 136).copy()
    blocks[:, 8:] = blocks[:, :7:-1]
    assert trial_run.difference(rows, logits(sound[:-size] + blocks.tobytes())) > 0.25


def test_missing_numbers_are_no_difference_that_could_be_small():
    rows = np.ones((2, 3), np.float32)
    broken = rows.copy()
    broken[1, 2] = np.nan
    assert trial_run.difference(rows, broken) is None
    assert trial_run.difference(rows * 0, rows) is None
    assert trial_run.difference(rows, rows * 1.5) == pytest.approx(0.5)


def test_a_digest_tells_libraries_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", str(tmp_path))
    (tmp_path / "libggml-cpu.so").write_bytes(b"one")
    first = build.library_digest()
    assert build.library_digest() == first
    (tmp_path / "libggml-cpu.so").write_bytes(b"two")
    second = build.library_digest()
    (tmp_path / "libggml-cuda.so").write_bytes(b"more")
    assert len({first, second, build.library_digest()}) == 3


def test_a_library_from_elsewhere_says_nothing_by_the_tag_of_the_wheel(monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_LIB_PATH", "/opt/llama.cpp/lib")
    assert not build.keeps_tile_stores()
