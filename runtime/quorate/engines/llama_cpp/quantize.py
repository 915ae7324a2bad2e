"""Re-quantising a GGUF file: another member with the same vocabulary from the same weights.

``requantize`` runs this module as a program, because a native abort must not take its caller down.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from quorate.engines.confinement.confine import confine
from quorate.engines.confinement.environment import inherited
from quorate.engines.confinement.plan import Isolation, Needs, of_a_worker
from quorate.engines.llama_cpp.files import other_parts
from quorate.engines.llama_cpp.gguf_header import read_header
from quorate.errors import CannotRun, InvalidRequest, QuorateError

_UNLIMITED = 1 << 62

# llama.cpp's llama_ftype of each name (include/llama.h).
_FTYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q2_K": 10,
    "Q3_K_S": 11,
    "Q3_K_M": 12,
    "Q3_K_L": 13,
    "Q4_K_S": 14,
    "Q4_K_M": 15,
    "Q5_K_S": 16,
    "Q5_K_M": 17,
    "Q6_K": 18,
    "BF16": 32,
}


def requantize(source: Path, target: Path, type_name: str, on_log: Callable[[str], None]) -> None:
    """Writes ``source``, quantised to another type, to ``target``, which appears whole or not.

    A tensor whose rows the type (such as ``Q4_0``) does not divide gets the nearest type that does:
    the k-quants want rows of a multiple of 256. The target's folder must exist; ``on_log`` receives
    llama.cpp's lines while it works.

    Raises:
        InvalidRequest: No such type.
        ModelUnusable: The source is missing or no GGUF file.
        CannotRun: llama.cpp cannot read the source or write the target.
    """
    _ftype(type_name)
    read_header(str(source), source.name)
    if not target.parent.is_dir():
        raise CannotRun(str(target), "its folder does not exist")
    command = [sys.executable, "-m", __name__, str(source), str(target), type_name]
    status, last_line = _run(command, target, on_log)
    if status < 0:
        raise CannotRun(source.name, f"quantising was ended by signal {-status}")
    if status != 0:
        raise CannotRun(source.name, f"cannot be quantised to {type_name}: {last_line}")


def _ftype(type_name: str) -> int:
    if type_name not in _FTYPES:
        raise InvalidRequest(
            "type", f"no quantisation named {type_name!r}; known: {', '.join(_FTYPES)}"
        )
    return _FTYPES[type_name]


def _run(command: list[str], target: Path, on_log: Callable[[str], None]) -> tuple[int, str]:
    """Runs the program and returns its exit status and its last line."""
    last_line = "no reason given"
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=inherited(os.environ),
    ) as process:
        for raw in process.stdout or ():
            if line := raw.decode("utf-8", errors="replace").strip():
                last_line = line
                on_log(line)
    # A killed process could not clear up after itself.
    _part(target, process.pid).unlink(missing_ok=True)
    return process.returncode, last_line


def _part(target: Path, process: int) -> Path:
    return target.with_name(f".{target.name}.{process}.part")


def _confine(source: Path, target: Path) -> None:
    """This process reads a stranger's file and writes one beside its target, and that is all."""
    # Of a file that is split llama.cpp opens the other parts itself.
    reads = (str(source), *other_parts(str(source)))
    needs = Needs(reads=reads, writes=(str(target.parent.absolute()),))
    plan = of_a_worker("quantize", Isolation(), needs)
    # What it writes may have any size.
    confine(replace(plan, file_bytes=_UNLIMITED))


def _quantize(source: Path, target: Path, type_name: str) -> None:
    from llama_cpp import llama_cpp as native

    from quorate.engines.llama_cpp.native_log import NativeLog

    log = NativeLog(lambda text: print(text, end="", flush=True))
    log.install()
    native.llama_backend_init()
    params = native.llama_model_quantize_default_params()
    params.ftype = _ftype(type_name)
    params.allow_requantize = True
    params.nthread = len(os.sched_getaffinity(0))
    part = _part(target, os.getpid())
    try:
        if native.llama_model_quantize(
            os.fsencode(source), os.fsencode(part), ctypes.byref(params)
        ):
            raise CannotRun(str(target), log.cause("llama.cpp gives no reason"))
        os.replace(part, target)
    except OSError as error:
        raise CannotRun(
            str(target), f"cannot be written: {error.strerror}; name another place"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Quantises SOURCE to TARGET of a TYPE in this process; prints one line where it fails."""
    if len(arguments) != 3:
        print("usage: python -m quorate.engines.llama_cpp.quantize SOURCE TARGET TYPE")
        return 2
    try:
        source, target = Path(arguments[0]), Path(arguments[1])
        _confine(source, target)
        _quantize(source, target, arguments[2])
    except QuorateError as error:
        print(error.message)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
