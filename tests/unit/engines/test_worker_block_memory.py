from __future__ import annotations

from quorate.engines.worker.block_memory import BlockMemory


def test_the_block_of_a_slot_is_given_back_once_no_session_has_it() -> None:
    released: list[int] = []
    memory = BlockMemory(released.append)
    memory.note_open(10, slot=3)
    memory.note_open(11, slot=4)
    memory.note_open(12, slot=5)
    for session in (10, 10, 11):
        memory.note_use(session)
    assert not memory.unused
    memory.note_close(10)
    memory.note_close(12)
    assert memory.unused == {3}
    memory.release()
    memory.release()
    assert released == [3]
    assert not memory.unused


def test_what_the_next_session_of_a_slot_may_need_stays() -> None:
    released: list[int] = []
    memory = BlockMemory(released.append)
    memory.note_open(10, slot=3)
    memory.note_use(10)
    memory.note_close(10)
    memory.note_open(11, slot=3)
    assert not memory.unused
    memory.release()
    assert released == []
    memory.note_close(11)
    memory.release()
    assert released == [3]
