"""The few things a download asks of a disk, in one place so that tests can fill it up."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import BinaryIO


class Disk:
    """The real disk."""

    def free_bytes(self, folder: Path) -> int:
        """Bytes that an ordinary user can still write in `folder`."""
        return shutil.disk_usage(folder).free

    def append(self, file: BinaryIO, chunk: bytes) -> None:
        """Write one chunk at the end of an unbuffered file.

        Raises:
            OSError: as the operating system gives it, ENOSPC among them.
        """
        view = memoryview(chunk)
        while view:
            written = file.write(view)
            view = view[written:]
