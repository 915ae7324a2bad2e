"""Runs one case: serve, let the neighbour ask, attack, wait for what is given back, judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from attacks.frame.cases import Case
from attacks.frame.server import ATTACKER, NEIGHBOUR, AttackedServer, attacked_server

_SCRIPTS = Path(__file__).parents[2]
_QUIET_SECONDS = 2.0
_GRACE_SECONDS = 10.0
_SETTLE_SECONDS = 8.0
_AFTERWARDS_SECONDS = 1.0
_ALLOWED_GROWTH = 1.2
_ALLOWED_DESCRIPTORS = 2
"""The neighbour's own connections come and go."""

Seen = tuple[float, float, str]
"""One request of the neighbour: when it began, how long it took in seconds, what went wrong."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """What requests took, in milliseconds; failed ones count with what they took."""

    count: int
    p50_ms: float
    p99_ms: float
    worst_ms: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case.

    Attributes:
        told: What the attacker tells of how it was answered.
        quiet: The neighbour before the attack.
        attacked: The neighbour from its beginning until a second behind its end.
        failures: What the neighbour was told instead of an answer.
        memory_before, memory_peak, memory_after: Of the coordinator, in bytes.
        descriptors_before, descriptors_after: Of the coordinator.
        problems: Where the server does not keep what it should; none is well.
    """

    case: str
    told: str
    quiet: Latencies
    attacked: Latencies
    failures: tuple[str, ...]
    memory_before: int
    memory_peak: int
    memory_after: int
    descriptors_before: int
    descriptors_after: int
    problems: tuple[str, ...]


def run(case: Case, tree: Path) -> Outcome:
    """Runs a case against the code of a checkout.

    Raises:
        DidNotStart: The server could not be served at all.
    """
    with (
        tempfile.TemporaryDirectory(prefix="quorate-attack-") as folder,
        attacked_server(Path(folder), tree, case.config, case.log_is_read) as server,
    ):
        return _attacked(case, server)


def _attacked(case: Case, server: AttackedServer) -> Outcome:
    neighbour = _spawn("neighbour", server.address, NEIGHBOUR)
    try:
        time.sleep(_QUIET_SECONDS)
        memory, descriptors = server.resident_bytes(), server.descriptors()
        begun = time.monotonic()
        told, peak = _attack(case, server)
        ended = time.monotonic()
        time.sleep(_AFTERWARDS_SECONDS)
        memory_after, descriptors_after = _settled(server, memory, descriptors)
        seen = _told_by(neighbour)
    finally:
        neighbour.kill()
        neighbour.communicate()
    quiet = [one for one in seen if one[0] + one[1] < begun]
    attacked = [
        one for one in seen if one[0] + one[1] >= begun and one[0] < ended + _AFTERWARDS_SECONDS
    ]
    outcome = Outcome(
        case=case.name,
        told=told,
        quiet=latencies(quiet),
        attacked=latencies(attacked),
        failures=tuple(problem for _, _, problem in attacked if problem),
        memory_before=memory,
        memory_peak=peak,
        memory_after=memory_after,
        descriptors_before=descriptors,
        descriptors_after=descriptors_after,
        problems=(),
    )
    return judged(outcome, case, server.alive)


def _attack(case: Case, server: AttackedServer) -> tuple[str, int]:
    """Runs the attacker; returns what it tells, and the most memory of the coordinator."""
    peak = server.resident_bytes()
    deadline = time.monotonic() + case.seconds + _GRACE_SECONDS
    attacker = _spawn(
        "attacker", case.name, server.address, ATTACKER, str(case.seconds), str(server.process.pid)
    )
    try:
        while attacker.poll() is None and time.monotonic() < deadline:
            peak = max(peak, server.resident_bytes())
            time.sleep(0.02)
        if attacker.poll() is None:
            return "did not end in time and was killed", peak
        told, _ = attacker.communicate()
        lines = told.strip().splitlines()
        if attacker.returncode or not lines:
            return f"the attacker itself failed with status {attacker.returncode}", peak
        return lines[-1], peak
    finally:
        attacker.kill()
        attacker.communicate()


def _settled(server: AttackedServer, memory: int, descriptors: int) -> tuple[int, int]:
    """Memory and descriptors, once they are given back or have had their time."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        now = server.resident_bytes(), server.descriptors()
        back = now[0] <= memory * _ALLOWED_GROWTH
        if (back and now[1] <= descriptors + _ALLOWED_DESCRIPTORS) or time.monotonic() > deadline:
            return now
        time.sleep(0.1)


def judged(outcome: Outcome, case: Case, alive: bool) -> Outcome:
    """The outcome with all that the server did not keep to."""
    problems = []
    if not alive:
        problems.append("the server died")
    if not outcome.attacked.count:
        problems.append("the neighbour asked nothing")
    if outcome.attacked.worst_ms > case.worst_ms:
        problems.append(f"a neighbour waited more than {case.worst_ms:g} ms")
    if outcome.failures:
        problems.append(f"{len(outcome.failures)} requests of the neighbour were lost")
    if case.frees_memory and outcome.memory_after > outcome.memory_before * _ALLOWED_GROWTH:
        problems.append(f"memory did not come back to {_ALLOWED_GROWTH}x")
    if outcome.descriptors_after > outcome.descriptors_before + _ALLOWED_DESCRIPTORS:
        problems.append("descriptors were left open")
    if outcome.told.startswith("the attacker itself failed"):
        problems.append("the attack did not happen")
    return replace(outcome, problems=tuple(problems))


def _spawn(module: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"attacks.frame.{module}", *arguments],
        env={**os.environ, "PYTHONPATH": str(_SCRIPTS)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Each is a machine of its own, as far as one machine can be several.
        start_new_session=True,
    )


def _told_by(neighbour: subprocess.Popen[str]) -> list[Seen]:
    """Ends the neighbour and returns all that it saw; a request that hangs is waited for."""
    told, _ = neighbour.communicate(timeout=90.0)
    return [(begun, seconds, problem) for begun, seconds, problem in json.loads(told)]


def latencies(seen: Sequence[Seen]) -> Latencies:
    """Quantiles of what requests took."""
    taken = sorted(seconds * 1e3 for _, seconds, _ in seen)
    if not taken:
        return Latencies(0, 0.0, 0.0, 0.0)
    last = len(taken) - 1
    return Latencies(len(taken), taken[round(last * 0.5)], taken[round(last * 0.99)], taken[last])
