from __future__ import annotations

from quorate.engines.worker.encoder.lanes import Lane, Lanes


def begun(lanes: Lanes[str]) -> list[str]:
    """Everything that may begin now."""
    return list(iter(lanes.next, None))


def test_short_jobs_do_not_wait_for_long_ones_nor_long_ones_for_short_ones() -> None:
    lanes: Lanes[str] = Lanes()
    for number in range(9):
        lanes.add(f"short {number}", Lane.SHORT)
    for number in range(2):
        lanes.add(f"long {number}", Lane.LONG)
    assert begun(lanes) == ["short 0", "short 1", "short 2", "long 0"]
    lanes.done(Lane.LONG)
    assert begun(lanes) == ["long 1"]
    lanes.done(Lane.SHORT)
    assert begun(lanes) == ["short 3"]
    assert len(lanes) == 5


def test_a_job_that_must_be_alone_waits_for_the_others_and_they_for_it() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.add("short", Lane.SHORT)
    lanes.add("long", Lane.LONG)
    assert begun(lanes) == ["short", "long"]
    lanes.add("suspected", Lane.ALONE)
    lanes.add("also suspected", Lane.ALONE)
    lanes.add("later", Lane.SHORT)
    lanes.done(Lane.SHORT)
    assert begun(lanes) == []
    lanes.done(Lane.LONG)
    assert begun(lanes) == ["suspected"]
    lanes.done(Lane.ALONE)
    assert begun(lanes) == ["also suspected"]
    lanes.done(Lane.ALONE)
    assert begun(lanes) == ["later"]


def test_a_job_can_be_taken_out_while_it_waits() -> None:
    lanes: Lanes[str] = Lanes()
    lanes.add("a", Lane.LONG)
    lanes.add("b", Lane.LONG)
    lanes.add("c", Lane.LONG, first=True)
    assert lanes.remove("a")
    assert not lanes.remove("a")
    assert begun(lanes) == ["c"]
    assert not lanes.remove("c")
    assert lanes.take_all() == ["b"]
    assert len(lanes) == 0
