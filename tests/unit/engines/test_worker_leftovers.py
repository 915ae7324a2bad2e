from __future__ import annotations

from pathlib import Path

from quorate.engines.worker.transport.process import remove_leftovers


def test_only_what_that_process_left_is_removed(tmp_path: Path) -> None:
    names = (
        "__KMP_REGISTERED_LIB_12_0",
        "__KMP_REGISTERED_LIB_12_1000",
        "__KMP_REGISTERED_LIB_123_0",
        "sem.12",
    )
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(12, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(names[2:])


def test_without_shared_memory_there_is_nothing_to_remove(tmp_path: Path) -> None:
    remove_leftovers(12, tmp_path / "none")
