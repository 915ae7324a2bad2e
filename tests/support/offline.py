"""Runs commands where there is no network, and tells whether they tried to use one.

A network namespace of its own has the loopback interface and nothing else: what would go elsewhere
finds no route, and the kernel counts it. Names are looked up at an address that is nowhere either,
so that a look-up is counted too.

Run as a module it proves that the tests of this repository need no network; see ``main``.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

# Addresses of documentation, RFC 5737, and a top-level domain that is nobody's, RFC 2606.
NOWHERE = "192.0.2.1"
NO_RESOLVER = "192.0.2.53"
NO_NAME = "quorate.invalid"

_TESTS = Path(__file__).resolve().parents[1]
_ROOT = _TESTS.parent
_OWN_TESTS = _TESTS / "service" / "test_offline.py"
_UNSHARE = ("unshare", "--map-root-user", "--net", "--mount")
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_ADDRESS = re.compile(r"connect\(.*(?:sin_addr=inet_addr\(|inet_pton\(AF_INET6, )\"([^\"]+)\"")


@dataclass(frozen=True)
class Offline:
    """How a command ended without a network.

    Attributes:
        exit_code: Its own.
        output: What it printed to both outputs.
        for_address: Packets without a route that a deliberate connection caused before it.
        for_name: Packets without a route that a deliberate look-up of a name caused.
        unrouted: Packets without a route while it ran.
        connected: Addresses beyond loopback that it tried to connect to; None without a trace.
    """

    exit_code: int
    output: str
    for_address: int
    for_name: int
    unrouted: int
    connected: tuple[str, ...] | None = None

    @property
    def can_fail(self) -> bool:
        """Whether an attempt to get out would have been seen."""
        return self.for_address > 0 and self.for_name > 0

    @property
    def stayed(self) -> bool:
        """Whether nothing tried to leave the machine."""
        return self.unrouted == 0 and not self.connected


def problem() -> str | None:
    """Why this machine allows no namespaces, in one line; None where it does."""
    if shutil.which("unshare") is None:
        return "there is no command unshare (util-linux)"
    tried = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        return f"user namespaces are not allowed here: {' '.join(tried.stderr.split())}"
    return None


def run_offline(
    command: Sequence[str],
    *,
    cwd: Path = _ROOT,
    environment: Mapping[str, str] | None = None,
    show: bool = False,
) -> Offline:
    """Runs a command in a namespace of its own.

    Args:
        command: What to run.
        cwd: Where.
        environment: Its environment; None is this process's own.
        show: Whether its output goes to the terminal, and is not kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        report, trace = Path(folder) / "report.json", Path(folder) / "connects"
        inner = [sys.executable, str(Path(__file__)), "--inside", str(report), str(trace)]
        ended = subprocess.run(
            [*_UNSHARE, *inner, *command],
            cwd=cwd,
            env=None if environment is None else dict(environment),
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.STDOUT,
            text=True,
            check=False,
        )
        if not report.exists():
            raise RuntimeError(f"the namespace could not be set up: {ended.stdout}")
        counted = json.loads(report.read_text())
        connected = foreign(trace.read_text()) if trace.exists() else None
    return Offline(ended.returncode, ended.stdout or "", connected=connected, **counted)


def foreign(trace: str) -> tuple[str, ...]:
    """Addresses in the output of strace that are not this machine's own."""
    addresses = {match[1] for match in _ADDRESS.finditer(trace)}
    return tuple(sorted(one for one in addresses if not _is_loopback(one)))


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address in ("::1", "::ffff:127.0.0.1")


@dataclass
class _Counted:
    for_address: int = 0
    for_name: int = 0
    unrouted: int = 0


def _inside(report: Path, trace: Path, command: Sequence[str]) -> int:
    """The part that runs in the namespace."""
    _bring_loopback_up()
    _look_names_up_nowhere(report.with_name("resolv.conf"))
    counted, start = _Counted(), _no_routes()
    _connect()
    after_address = _no_routes()
    with suppress(OSError):
        socket.getaddrinfo(NO_NAME, 443)
    after_name = _no_routes()
    counted.for_address, counted.for_name = after_address - start, after_name - after_address
    ended = subprocess.run([*_tracing(trace), *command], check=False)
    counted.unrouted = _no_routes() - after_name
    report.write_text(json.dumps(asdict(counted)))
    return ended.returncode


def _bring_loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def _look_names_up_nowhere(configuration: Path) -> None:
    """The file must outlive the namespace: another one inside could mount nothing over it else."""
    configuration.write_text(f"nameserver {NO_RESOLVER}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(configuration), "/etc/resolv.conf"], check=True)


def _connect() -> None:
    with socket.socket() as sock, suppress(OSError):
        sock.connect((NOWHERE, 443))


def _no_routes() -> int:
    """Packets of this namespace that had no route, over both versions of the protocol."""
    names, values = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if "Ip:" in line
    )
    count = int(values[names.index("OutNoRoutes")])
    newer = Path("/proc/net/snmp6")
    for line in newer.read_text().splitlines() if newer.exists() else ():
        name, value = line.split()
        count += int(value) if name == "Ip6OutNoRoutes" else 0
    return count


def _tracing(trace: Path) -> list[str]:
    """What to put before a command to trace its connections; nothing where that is not possible."""
    strace = ["strace", "-f", "-qq", "--seccomp-bpf", "-e", "trace=connect", "-o"]
    if shutil.which("strace") is None:
        return []
    tried = subprocess.run([*strace, os.devnull, "true"], capture_output=True, check=False)
    return [*strace, str(trace)] if tried.returncode == 0 else []


def _outcomes(junit: Path) -> dict[str, str]:
    """How each test ended, by its name."""
    found = {}
    for case in ElementTree.parse(junit).iter("testcase"):
        ended = [kind for kind in ("failure", "error", "skipped") if case.find(kind) is not None]
        found[f"{case.get('classname')}::{case.get('name')}"] = ended[0] if ended else "passed"
    return found


def main(arguments: Sequence[str]) -> int:
    """Runs the tests with a network and without, and compares.

    Those of this module are left out, since they try to get out on purpose.

    Args:
        arguments: Of pytest; none runs all tests but the slow ones.

    Returns:
        0 where the same tests pass in both and nothing tried to leave the machine.
    """
    why = problem()
    if why is not None:
        print(f"prove_offline: {why}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        files = {place: Path(folder) / f"{place}.xml" for place in ("outside", "inside")}
        tests = [sys.executable, "-m", "pytest", "-q", f"--ignore={_OWN_TESTS}"]
        tests += arguments or ["-m", "not slow and not vllm and not real_model and not clients"]
        outside = [*tests, f"--junitxml={files['outside']}"]
        code = subprocess.run(outside, cwd=_ROOT, check=False).returncode
        offline = run_offline([*tests, f"--junitxml={files['inside']}"], show=True)
        ends = {place: _outcomes(file) for place, file in files.items() if file.exists()}
    return _verdict(code, offline, ends.get("outside", {}), ends.get("inside", {}))


def _verdict(
    code: int, offline: Offline, outside: Mapping[str, str], inside: Mapping[str, str]
) -> int:
    other = sorted(name for name in {*outside, *inside} if outside.get(name) != inside.get(name))
    for name in other:
        print(f"{name}: {outside.get(name)} with a network, {inside.get(name)} without")
    passed = sum(end == "passed" for end in inside.values())
    print(
        f"without a network {passed} of {len(inside)} tests passed, {len(other)} ended otherwise "
        "than with one\n"
        f"packets without a route: {offline.for_address} for a deliberate connection, "
        f"{offline.for_name} for a deliberate look-up, {offline.unrouted} while the tests ran"
    )
    if offline.connected is None:
        print("connections were not traced: strace is not there, or not allowed")
    else:
        print(f"connections beyond loopback: {', '.join(offline.connected) or 'none'}")
    proven = offline.can_fail and offline.stayed and not other and passed > 0
    print("proven" if proven and code == offline.exit_code == 0 else "NOT proven")
    return 0 if proven and code == offline.exit_code == 0 else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        sys.exit(_inside(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]))
    sys.exit(main(sys.argv[1:]))
