from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from quorate.engines.vllm.captured_rows import CapturedRows


def _write(address: str) -> None:
    rows = CapturedRows.attach(address)
    assert rows.ids.tolist() == [2, 0]
    rows.all_rows[1] = [-1.0, -2.0, -3.0]
    rows.all_sums[1, 1:3] = [0.25, 0.75]


def test_what_another_process_writes_is_read_here() -> None:
    rows = CapturedRows.create(2, 3, [2, 0])
    process = multiprocessing.get_context("spawn").Process(target=_write, args=(rows.address,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    output, sums = np.empty(3, np.float32), np.full(5, 9.0)
    rows.read(1, output, sums)
    assert output.tolist() == [-1.0, -2.0, -3.0]
    assert sums.tolist() == [0.0, 0.25, 0.75, 9.0, 9.0]


def test_rows_and_sums_do_not_touch_each_other() -> None:
    rows = CapturedRows.create(3, 5, [4, 1, 3])
    rows.all_rows[:] = -1.0
    rows.all_sums[:] = 2.0
    assert (rows.all_rows == -1.0).all()
    assert rows.ids.tolist() == [4, 1, 3]


def test_prefix_sums_are_read_only_where_they_are_wanted() -> None:
    rows = CapturedRows.create(1, 2, [])
    rows.all_rows[0] = [-0.5, -1.5]
    output = np.empty(2, np.float32)
    rows.read(0, output, None)
    assert output.tolist() == [-0.5, -1.5]


def test_nothing_of_it_has_a_name_in_the_file_system() -> None:
    rows = CapturedRows.create(4, 1000, range(900))
    _, *descriptors, _, _ = rows.address.split(":")
    places = [os.readlink(f"/proc/self/fd/{descriptor}") for descriptor in descriptors]
    assert places == [f"/memfd:quorate-vllm-{of} (deleted)" for of in ("rows", "order")]
    assert rows.all_rows.shape == (4, 1000)


def test_the_rows_of_a_worker_that_is_gone_cannot_be_opened() -> None:
    rows = CapturedRows.create(1, 1, [0])
    process, rest = rows.address.split(":", 1)
    assert int(process) == os.getpid()
    with pytest.raises(OSError, match="No such file"):
        CapturedRows.attach(f"{2**22 + 1}:{rest}")


def test_the_memory_can_neither_shrink_nor_grow_under_those_who_mapped_it() -> None:
    rows = CapturedRows.create(1, 2, [0])
    _, *descriptors, _, _ = map(int, rows.address.split(":"))
    for descriptor in descriptors:
        for size in (0, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(descriptor, size)
