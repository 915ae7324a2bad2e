"""Models of other types, made once of a file and kept."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from quorate.engines.llama_cpp.quantize import requantize
from quorate.errors import CannotRun


def quantised(
    source: Path, type_name: str, folder: Path, name: str, on_note: Callable[[str], None]
) -> Path:
    """The file of a model that was made of another, now or before.

    It is made anew when the file it was made from has changed, and those before it are removed.

    Args:
        source: A GGUF file.
        type_name: Such as ``Q4_0``.
        folder: Where such files are kept.
        name: Of the model; its file's name tells what it was made from as well.
        on_note: Receives a line for people before something that takes a while.

    Raises:
        CannotRun: It cannot be made or written.
        InvalidRequest: There is no such type.
        ModelUnusable: The source is missing or no GGUF file.
    """
    facts = source.stat()
    target = folder / f"{name}.{facts.st_size:x}-{facts.st_mtime_ns:x}.gguf"
    if target.is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / ".lock"):
            if target.is_file():
                return target
            on_note(f"making {name} from {source.stem}, once …")
            # llama.cpp's last line comes back in the error where it fails.
            requantize(source, target, type_name, lambda line: None)
            for stale in folder.glob(f"{name}.*.gguf"):
                if stale != target:
                    stale.unlink()
    except OSError as error:
        raise CannotRun(
            str(folder),
            f"cannot be written: {error.strerror}; set QUORATE_HOME to a writable folder",
        ) from error
    return target


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lets one process at a time make a file; the kernel frees the lock of a dead one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
