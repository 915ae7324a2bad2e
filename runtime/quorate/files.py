"""Paths that people name: what is there is told in one line, and nothing that hangs is opened.

Opening a pipe waits for whoever writes into it, and a network place whose server is gone for that.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

from quorate.errors import SettingsError

_ANSWER_SECONDS = 5.0
_READ_BYTES = 64 * 1024 * 1024
_DESCRIPTORS = ("/dev/fd/", "/dev/stdin", "/proc/self/fd/")
_NETWORK = ("nfs", "cifs", "smb", "afs", "ceph", "glusterfs", "fuse.sshfs", "fuse.s3fs", "lustre")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def is_path(name: str) -> bool:
    """Whether a model is named by a path rather than by a registry id."""
    return "/" in name or name.endswith(".gguf")


def default_id(name_or_path: str) -> str:
    """What a model is called that was given no id: its registry id, or its file's name."""
    if not is_path(name_or_path):
        return name_or_path
    path = Path(name_or_path)
    return (path.stem if path.suffix == ".gguf" else path.name).lower()


def refuse_no_file(path: Path, advice: str) -> None:
    """Checks that a path leads to a file, or to nothing yet.

    Args:
        path: Followed where it is a link.
        advice: What to do about anything else.

    Raises:
        SettingsError: It leads to something else, nowhere, or to a place that does not answer.
    """
    mode = _mode(path, advice)
    for is_kind, name in _KINDS:
        if is_kind(mode):
            raise SettingsError(f"{path}: is {name}, not a file; {advice}")


def refuse_no_place(path: Path, advice: str) -> None:
    """Checks that a file could be made and written at a path, with the folders that it lacks.

    Raises:
        SettingsError: The nearest folder that is there is none, or may not be written to.
    """
    place = next(one for one in path.absolute().parents if os.path.lexists(one))
    if not place.is_dir():
        raise SettingsError(f"{path}: cannot be made: {place} is no folder; {advice}")
    # Of /proc the access bits promise what its file system refuses.
    if not os.access(place, os.W_OK | os.X_OK) or place.is_relative_to("/proc"):
        raise SettingsError(f"{path}: cannot be made: {place} cannot be written to; {advice}")


def read_file(path: Path, advice: str) -> bytes:
    """The content of a file, or of what the shell handed over under the name of a descriptor.

    Raises:
        SettingsError: It is no file, is not there, or cannot be read; or is larger than 64 MiB.
    """
    handed_over = str(path).startswith(_DESCRIPTORS)
    if not handed_over:
        refuse_no_file(path, advice)
    try:
        # Should it have become a pipe meanwhile, it is empty.
        flags = 0 if handed_over else os.O_NONBLOCK
        with open(os.open(path, os.O_RDONLY | flags | os.O_CLOEXEC), "rb") as file:
            content = file.read(_READ_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from error
    if len(content) > _READ_BYTES:
        raise SettingsError(f"{path}: is larger than 64 MiB; {advice}")
    return content


def network_place(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Kind of the network file system that a path is on, by the mounts alone; "" on a local one."""
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    found, longest = "", -1
    for line in lines:
        here, _, there = line.partition(" - ")
        fields = here.split(" ")
        if len(fields) < 5 or not there:
            continue
        place = Path(fields[4].replace("\\040", " "))
        # Of two that are mounted in one place the later one is seen.
        if path.is_relative_to(place) and len(place.parts) >= longest:
            found, longest = there.split(" ")[0], len(place.parts)
    return found if found.startswith(_NETWORK) else ""


def _mode(path: Path, advice: str) -> int:
    """Mode of what is there; 0 where nothing is. Waits only so long."""
    found: list[int | OSError] = []

    def look() -> None:
        try:
            found.append(os.stat(path).st_mode)
        except OSError as error:
            found.append(error)

    # Nothing can interrupt a system call that waits for a server which is gone; the thread is left
    # to it, and does not keep the process.
    looking = threading.Thread(target=look, name="look-at-path", daemon=True)
    try:
        looking.start()
        looking.join(_ANSWER_SECONDS)
    except RuntimeError:
        # No thread can be started now. Few file systems never answer.
        look()
    if not found:
        raise SettingsError(
            f"{path}: its file system has not answered for {_ANSWER_SECONDS:g} s; {advice}"
        )
    answer = found[0]
    if isinstance(answer, int):
        return answer
    if answer.errno in (errno.ENOENT, errno.ENOTDIR):
        return 0
    raise SettingsError(f"{path}: cannot be looked at: {answer.strerror}; {advice}") from answer
