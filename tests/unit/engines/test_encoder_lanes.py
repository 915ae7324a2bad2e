from __future__ import annotations

from quorate.engines.worker.encoder.lanes import Lanes


def begun(lanes: Lanes[str]) -> list[str]:
    """Everything that may begin now."""
    found = []
    while chosen := lanes.next():
        found.append(chosen[0])
    return found


def test_short_jobs_do_not_wait_for_long_ones_nor_long_ones_for_short_ones() -> None:
    lanes: Lanes[str] = Lanes()
    for number in range(9):
        lanes.add(f"short {number}", long=False)
    for number in range(2):
        lanes.add(f"long {number}", long=True)
    assert begun(lanes) == ["short 0", "short 1", "short 2", "long 0"]
    lanes.done(long=True)
    assert begun(lanes) == ["long 1"]
    lanes.done(long=False)
    assert begun(lanes) == ["short 3"]
    assert len(lanes) == 5


def test_a_job_can_be_taken_out_while_it_waits() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.add("a", long=True)
    lanes.add("b", long=True)
    lanes.add("c", long=True, first=True)
    assert lanes.remove("a")
    assert not lanes.remove("a")
    assert begun(lanes) == ["c"]
    assert not lanes.remove("c")
    assert lanes.take_all() == ["b"]
    assert len(lanes) == 0
