from __future__ import annotations

import os
import time

import numpy as np
import pytest

from quorate.engines import sealed_memory
from quorate.engines.shared_rows import (
    BLOCK_ROWS,
    MOST_BYTES,
    RowsReader,
    RowsWriter,
    WorkDone,
    fitting_block_rows,
    size_bytes,
)
from quorate.sampling.peaks import FEW_ENTRIES, count_of_maxima


@pytest.fixture
def memory():
    descriptor = sealed_memory.create("quorate-test")
    yield descriptor
    os.close(descriptor)


def both_sides(memory, **shape):
    return RowsWriter(memory, **shape), RowsReader(memory, **shape)


def test_rows_and_sums_written_on_one_side_are_read_on_the_other_and_touch_none(memory):
    writer, reader = both_sides(memory, sessions=3, vocabulary=17)

    for slot in range(3):
        writer.row(slot)[:] = np.arange(17, dtype=np.float32) + 100 * slot
        writer.sums(slot)[:] = np.arange(18) + 1000.5 * slot
        writer.masked_mass(slot)[0] = slot / 4
    writer.count_step()

    for slot in range(3):
        assert reader.row(slot).tolist() == [100 * slot + n for n in range(17)]
        assert reader.sums(slot).tolist() == [1000.5 * slot + n for n in range(18)]
        assert reader.masked_mass(slot).tolist() == [slot / 4]
        assert (reader.row(slot).dtype, reader.sums(slot).dtype) == (np.float32, np.float64)
    assert reader.steps_done == 1


def test_maxima_stand_beside_the_rows_of_large_vocabularies_and_touch_none(memory):
    vocabulary, groups = 5003, count_of_maxima(5003)
    writer, reader = both_sides(memory, sessions=2, vocabulary=vocabulary, block_rows=2)
    for slot in range(2):
        writer.row(slot)[:], writer.masked_mass(slot)[0] = -1.0, 0.5
        writer.maxima(slot)[:] = slot + 2
        block = writer.block(slot, sums=False)
        block.rows[:], block.masked[:] = -3.0, 0.25
        block.maxima[:] = [[slot + 4], [slot + 5]]

    for slot in range(2):
        assert reader.maxima(slot).tolist() == [slot + 2] * groups
        assert (set(reader.row(slot)), reader.masked_mass(slot)[0]) == ({-1.0}, 0.5)
        block = reader.block(slot, sums=False)
        assert block.maxima.tolist() == [[slot + 4] * groups, [slot + 5] * groups]
        assert (set(block.rows.ravel()), set(block.masked)) == ({-3.0}, {0.25})
        assert reader.maxima(slot).ctypes.data % 64 == 0
        assert reader.block(slot, sums=True).maxima is None
    with pytest.raises(ValueError, match="read-only"):
        reader.maxima(0)[0] = 1.0


def test_rows_of_small_vocabularies_have_no_maxima(memory):
    _, reader = both_sides(memory, sessions=1, vocabulary=FEW_ENTRIES, block_rows=1)
    assert reader.maxima(0) is None
    assert reader.block(0, sums=False).maxima is None


def test_prefix_sums_that_nobody_writes_take_no_memory(memory):
    vocabulary = 64 * 1024
    writer, reader = both_sides(memory, sessions=4, vocabulary=vocabulary)

    for slot in range(4):
        writer.row(slot)[:] = 1.0
    allocated = os.fstat(memory).st_blocks * 512

    assert 4 * 4 * vocabulary <= allocated < 4 * 4 * vocabulary + 8 * vocabulary
    assert os.fstat(memory).st_size > 4 * (4 + 8) * vocabulary
    assert reader.row(3).tolist() == [1.0] * vocabulary


def test_blocks_written_on_one_side_are_read_on_the_other_and_touch_nothing_else(memory):
    writer, reader = both_sides(memory, sessions=2, vocabulary=17, block_rows=3)
    for slot in range(2):
        writer.row(slot)[:] = -1.0
        writer.sums(slot)[:] = -2.0
        block = writer.block(slot, sums=True)
        block.rows[:] = np.arange(51).reshape(3, 17) + 100 * slot
        block.masked[:] = np.arange(3) + 10 * slot
        block.sums[:] = np.arange(54).reshape(3, 18) + 1000.5 * slot

    for slot in range(2):
        block = reader.block(slot, sums=True)
        assert block.rows.tolist() == (np.arange(51).reshape(3, 17) + 100 * slot).tolist()
        assert block.masked.tolist() == (np.arange(3) + 10 * slot).tolist()
        assert block.sums.tolist() == (np.arange(54).reshape(3, 18) + 1000.5 * slot).tolist()
        assert (block.rows.dtype, block.sums.dtype) == (np.float32, np.float64)
        assert (set(reader.row(slot)), set(reader.sums(slot))) == ({-1.0}, {-2.0})
    assert reader.block(0, sums=False).sums is None
    assert block.maxima is None
    for part in block[:3]:
        with pytest.raises(ValueError, match="read-only"):
            part[0] = 1.0


def test_blocks_take_memory_where_they_are_written_until_it_is_given_back(memory):
    def allocated() -> int:
        return os.fstat(memory).st_blocks * 512

    vocabulary = 50_001
    writer, reader = both_sides(memory, sessions=3, vocabulary=vocabulary, block_rows=4)
    assert os.fstat(memory).st_size > 3 * 4 * 12 * vocabulary
    assert allocated() == 0
    for slot in range(3):
        writer.row(slot)[:] = 1.0
        block = writer.block(slot, sums=True)
        block.rows[:2], block.masked[:2], block.sums[:2] = 2.0, 3.0, 4.0
    assert 3 * (1 + 2 + 4) * 4 * vocabulary < allocated() < 3 * (1 + 2 + 4 + 1) * 4 * vocabulary
    before = allocated()

    writer.release_block(1)

    assert before - allocated() > 0.95 * 2 * 12 * vocabulary
    for slot, value in ((0, 2.0), (2, 2.0)):
        assert set(reader.block(slot, sums=True).rows[:2].ravel()) == {value}
        assert set(reader.block(slot, sums=True).sums[:2].ravel()) == {4.0}
    assert set(reader.row(1)) == {1.0}
    writer.block(1, sums=False).rows[0] = 5.0
    assert set(reader.block(1, sums=False).rows[0]) == {5.0}


@pytest.mark.parametrize("sessions", [1, 8, 32, 64, 256, 1024])
@pytest.mark.parametrize("vocabulary", [32_000, 151_936, 262_144])
def test_blocks_have_32_rows_or_what_the_largest_memory_has_room_for(sessions, vocabulary):
    rows = fitting_block_rows(sessions, vocabulary)
    assert 1 <= rows <= BLOCK_ROWS
    assert size_bytes(sessions, vocabulary, rows) <= MOST_BYTES
    if rows < BLOCK_ROWS:
        assert size_bytes(sessions, vocabulary, rows + 1) > MOST_BYTES


def test_rows_and_sums_are_aligned_and_cannot_be_written_by_the_reader(memory):
    _, reader = both_sides(memory, sessions=2, vocabulary=5)

    with pytest.raises(ValueError, match="read-only"):
        reader.masked_mass(0)[0] = 1.0
    for part in (reader.row, reader.sums):
        assert [part(slot).ctypes.data % 64 for slot in range(2)] == [0, 0]
        with pytest.raises(ValueError, match="read-only"):
            part(0)[0] = 1.0


def test_a_row_outlives_its_reader(memory):
    writer = RowsWriter(memory, sessions=1, vocabulary=2)
    row = RowsReader(memory, sessions=1, vocabulary=2).row(0)
    writer.row(0)[:] = 7.0
    del writer

    assert row.tolist() == [7.0, 7.0]


def test_the_header_tells_of_turns_and_steps(memory):
    writer, reader = both_sides(memory, sessions=1, vocabulary=2)
    assert (reader.busy_since_ns, reader.steps_done) == (0, 0)

    writer.set_busy_since(2**62)
    writer.count_step()
    writer.count_step()

    assert (reader.busy_since_ns, reader.steps_done) == (2**62, 2)


def test_the_header_tells_what_steps_took_and_what_they_waited(memory):
    writer, reader = both_sides(memory, sessions=1, vocabulary=2)
    assert reader.work_done == WorkDone()

    writer.count_wait(250_000_000)
    writer.tell_life()
    writer.count_step(1_000_000_000, cores=4)
    writer.count_step(500_000_000, cores=1)

    assert reader.work_done == WorkDone(2, 1.5, 4.5, 0.25)
    assert reader.waited_ns == 250_000_000
    assert 0 < reader.busy_since_ns <= time.monotonic_ns()


def test_memory_that_could_still_shrink_is_not_mapped(memory):
    os.ftruncate(memory, 64 + 64)

    with pytest.raises(ValueError, match="not sealed"):
        RowsReader(memory, sessions=1, vocabulary=2)


def test_memory_of_another_size_is_not_mapped(memory):
    RowsWriter(memory, sessions=1, vocabulary=2)

    with pytest.raises(ValueError, match="have 192 bytes where 320 were expected"):
        RowsReader(memory, sessions=2, vocabulary=2)


def test_sealed_memory_can_neither_shrink_nor_grow(memory):
    sealed_memory.write(memory, b"table")

    for size in (0, 100):
        with pytest.raises(PermissionError):
            os.ftruncate(memory, size)
    assert sealed_memory.read(memory, 100) == b"table"
    with pytest.raises(ValueError, match="has 5 bytes, and 4 are the most"):
        sealed_memory.read(memory, 4)
