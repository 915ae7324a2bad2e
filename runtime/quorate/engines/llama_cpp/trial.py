"""Whether a build of llama.cpp of unknown origin computes rightly with weights repacked for AMX.

Most builds crash at it (see ``build.keeps_tile_stores``). So a build is tried once, in a process
that may die of it, and the verdict is kept by library and processor.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TextIO

from quorate.engines.confinement.environment import worker_environment
from quorate.engines.llama_cpp.build import keeps_tile_stores, library_digest
from quorate.foreign_text import one_line

CPUINFO = Path("/proc/cpuinfo")
COMMAND = (sys.executable, "-P", "-m", "quorate.engines.llama_cpp.trial_run")
SECONDS = 30.0
"""The trial takes one, and several where everything else works."""

_HANGS = "hangs"
_HANGS_FOR_SECONDS = 86_400.0
"""So long that verdict holds: a machine that was busy with other things looks the same."""

_METHOD = 1
"""Part of what verdicts are kept by: another one tries again."""

# Kernels of another precision make 0.08 in these seven layers, one wrong matrix 0.4 and more.
_MOST_DIFFERENCE = 0.25
_LONGEST_REASON = 200
_MOST_BYTES = 4096
_LOOK_AGAIN_SECONDS = 0.1

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a trial.

    Attributes:
        sound: Whether weights may be repacked.
        reason: Why not, in words that go on behind "the build"; "" where they may.
    """

    sound: bool
    reason: str = ""


class Trials:
    """Trials of the library that is installed, one at a time, and what came of them.

    Safe for several threads, and beside other processes that try the same.

    Args:
        folder: Where verdicts are kept; None keeps them for the life of this object only.
        command: Program of the trial; see ``trial_run``.
        seconds: After so long it hangs.
        cpuinfo: Describes the processor.
    """

    def __init__(
        self,
        folder: Path | None,
        command: Sequence[str] = COMMAND,
        seconds: float = SECONDS,
        cpuinfo: Path = CPUINFO,
    ) -> None:
        self._folder = folder
        self._command = tuple(command)
        self._seconds = seconds
        self._cpuinfo = cpuinfo
        self._one_at_a_time = threading.Lock()
        self._known: dict[str, Verdict] = {}

    def verdict(self) -> Verdict | None:
        """Whether weights may be repacked for AMX; None where that is no question.

        Waits for the trial, if there must be one.
        """
        if not self._matters():
            return None
        with self._one_at_a_time:
            try:
                key = self._key()
            except OSError as error:
                return Verdict(False, f"cannot be tried: {error.strerror or error}")
            if key not in self._known:
                self._known[key] = self._kept(key) or self._found(key)
                self._tell(key)
            return self._known[key]

    def known_verdict(self) -> Verdict | None:
        """What was found before, without trying; None where nothing was, or is no question."""
        if not self._matters():
            return None
        with contextlib.suppress(OSError):
            key = self._key()
            return self._known.get(key) or self._kept(key)
        return None

    def _matters(self) -> bool:
        return "amx_tile" in self._flags().split() and not keeps_tile_stores()

    def _flags(self) -> str:
        try:
            found = re.search(r"^flags\s*:(.*)$", self._cpuinfo.read_text(), re.MULTILINE)
        except (OSError, ValueError):
            return ""
        return found[1] if found else ""

    def _key(self) -> str:
        text = f"{_METHOD} {library_digest()} {self._flags()}"
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _path(self, key: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{key}.json"

    def _found(self, key: str) -> Verdict:
        """The verdict of a trial: ours, or of another process that was about it."""
        with contextlib.ExitStack() as stack:
            path = self._path(key)
            if path is not None:
                with contextlib.suppress(OSError):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    lock = stack.enter_context(path.with_suffix(".lock").open("w"))
                    self._wait_for(lock)
            return self._kept(key) or self._tried(key)

    def _wait_for(self, lock: TextIO) -> None:
        """Locks a file, but waits no longer for others than a trial can take."""
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOOK_AGAIN_SECONDS)
            else:
                return

    def _kept(self, key: str) -> Verdict | None:
        """The verdict of an earlier process; None where there is none that can be believed."""
        path = self._path(key)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                kept = json.loads(file.read(_MOST_BYTES))
                age = time.time() - os.fstat(file.fileno()).st_mtime
            sound, reason = kept["sound"], kept["reason"]
        except (OSError, ValueError, TypeError, LookupError, RecursionError):
            return None
        if not isinstance(sound, bool) or not isinstance(reason, str):
            return None
        if reason.startswith(_HANGS) and age > _HANGS_FOR_SECONDS:
            return None
        return Verdict(sound, one_line(reason, _LONGEST_REASON))

    def _tried(self, key: str) -> Verdict:
        _log.info("trying once whether this build of llama.cpp computes rightly with AMX")
        environment = worker_environment(os.environ, 2)
        try:
            done = subprocess.run(
                [*self._command, str(math.ceil(self._seconds))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
                timeout=self._seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return self._keep(key, Verdict(False, f"{_HANGS} (for {self._seconds:g} s)"))
        except (OSError, MemoryError) as error:
            # It says nothing of the build, so that the next start tries again.
            return Verdict(False, f"could not be tried: {error}")
        if done.returncode < 0:
            return self._ended_by(key, -done.returncode)
        try:
            found = json.loads(done.stdout[:_MOST_BYTES])
            difference = found["difference"]
            sound = difference is not None and 0 <= float(difference) <= _MOST_DIFFERENCE
        except (ValueError, TypeError, LookupError):
            return Verdict(False, f"could not be tried (status {done.returncode})")
        return self._keep(key, Verdict(sound, "" if sound else "computes wrong numbers"))

    def _ended_by(self, key: str, number: int) -> Verdict:
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        if number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            # Somebody else ended it, such as a kernel that is short of memory.
            return Verdict(False, f"could not be tried: it was ended by {name}")
        if number == signal.SIGALRM:
            return self._keep(key, Verdict(False, f"{_HANGS} (for {self._seconds:g} s)"))
        return self._keep(key, Verdict(False, f"crashes ({name})"))

    def _keep(self, key: str, verdict: Verdict) -> Verdict:
        path = self._path(key)
        if path is None:
            return verdict
        draft = None
        try:
            descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{key}-")
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(verdict), file)
            os.replace(draft, path)
        except OSError as error:
            _log.debug("the verdict on llama.cpp's build cannot be kept: %s", error)
            if draft is not None:
                with contextlib.suppress(OSError):
                    os.unlink(draft)
        return verdict

    def _tell(self, key: str) -> None:
        verdict = self._known[key]
        if verdict.sound:
            return
        path = self._path(key)
        kept = f" (kept in {path})" if path is not None and path.exists() else ""
        _log.warning("%s%s", advice(verdict), kept)


def advice(verdict: Verdict) -> str:
    """What a verdict that is not sound means, and what to do, in one line."""
    return (
        f"with AMX this build of llama.cpp {verdict.reason}: weights are not repacked, and "
        f"prompts take up to five times as long; build it anew: {rebuild_command()}"
    )


def rebuild_command() -> str:
    """What mends the build that is installed; pip's cache would give the same one again."""
    try:
        version = f"=={metadata.version('llama-cpp-python')}"
    except metadata.PackageNotFoundError:
        version = ""
    return (
        "CXXFLAGS='-fno-dse -U__AVX512FP16__' pip install --force-reinstall --no-deps "
        f"--no-cache-dir --no-binary llama-cpp-python llama-cpp-python{version}"
    )


def verdicts_folder() -> Path | None:
    """In the user's cache; None where there is no home."""
    chosen = os.environ.get("XDG_CACHE_HOME")
    try:
        cache = Path(chosen) if chosen else Path.home() / ".cache"
    except RuntimeError:
        return None
    return cache / "quorate" / "trials"
