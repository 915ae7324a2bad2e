"""A folder that appears whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from checkpoint.errors import Refused

_CONFIG = "config.json"


@contextmanager
def whole_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """Gives a folder beside the target to write into, and puts it in the target's place at the end.

    Whatever goes wrong before that leaves things as they were.

    Args:
        target: The folder to make. An empty one may be there already.
        replace: Whether a checkpoint that is there already may go.

    Raises:
        Refused: There is something that must not go.
        OSError: The folder cannot be made.
    """
    target = target.absolute()
    check_target(target, replace=replace)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise Refused(f"{target.parent} is not a folder") from error
    unfinished = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield unfinished
        _open_to_readers(unfinished)
        # Looked at again: somebody else may have made it meanwhile.
        check_target(target, replace=replace)
        _put_in_place(unfinished, target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def check_target(target: Path, *, replace: bool) -> None:
    """Refuses a target that holds something.

    Raises:
        Refused: It is a file, or a folder that holds anything; with `replace`, anything but a
            checkpoint.
    """
    if not target.exists() and not target.is_symlink():
        return
    if target.is_symlink() or not target.is_dir():
        raise Refused(f"{target} exists and is not a folder")
    if not any(target.iterdir()):
        return
    if not replace:
        raise Refused(f"{target} exists and is not empty; --force replaces a checkpoint")
    if not (target / _CONFIG).is_file():
        raise Refused(f"{target} holds no {_CONFIG}, so it is no checkpoint and is not replaced")


def _open_to_readers(folder: Path) -> None:
    """Gives the modes that new files have; temporary folders and safetensors are private."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.iterdir():
        path.chmod(0o666 & ~mask)
    folder.chmod(0o777 & ~mask)


def _put_in_place(unfinished: Path, target: Path) -> None:
    if not target.exists() or not any(target.iterdir()):
        unfinished.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    target.rename(aside)
    try:
        unfinished.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)
