"""What a killed worker leaves in shared memory, though nothing of it is ours."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_SHARED_MEMORY = Path("/dev/shm")


def remove_leftovers(pid: int, folder: Path = _SHARED_MEMORY) -> None:
    """Removes it once the process is gone.

    Intel's OpenMP library registers itself in a small file under its process id, and removes that
    only where the process ends by itself.

    Args:
        pid: The process, which has been reaped.
        folder: Where shared memory has its names; may be absent.
    """
    for left in folder.glob(f"__KMP_REGISTERED_LIB_{pid}_*"):
        # Another process of the same number may have come and gone meanwhile.
        with suppress(OSError):
            left.unlink()
