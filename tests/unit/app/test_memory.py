from __future__ import annotations

import subprocess
import sys

import pytest

from quorate.app.memory import resident_bytes

DEADLINE_SECONDS = 60.0
MB = 2**20

# Pieces are pinned between what is freed, as those of other requests are.
FRAGMENTS = """
import asyncio
from quorate.app.memory import memory_given_back, resident_bytes, settle_allocator

async def main():
    settle_allocator()
    before = resident_bytes()
    async with memory_given_back():
        pieces = [bytearray(b"x" * 40_000) for _ in range(5000)]
        grown = resident_bytes()
        pinned = pieces[::50]
        del pieces
        async with asyncio.timeout(30):
            while resident_bytes() > before + 40 * 2**20:
                await asyncio.sleep(0.02)
    print(grown - before, len(pinned))

asyncio.run(main())
"""

LARGE = """
from quorate.app.memory import resident_bytes, settle_allocator

settle_allocator()
before = resident_bytes()
held = []
for _ in range(12):
    request, copy = bytes(15_000_000), bytearray(15_000_000)
    held.append(bytearray(100_000))
    del request, copy
print(resident_bytes() - before, len(held))
"""


def printed(program: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=True,
    )
    return int(done.stdout.split()[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_pieces_of_large_requests_are_given_back_although_others_lie_between_them() -> None:
    assert printed(FRAGMENTS) > 150 * MB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_large_pieces_are_given_back_one_by_one() -> None:
    assert printed(LARGE) < 8 * MB


def test_resident_memory_is_that_of_this_process() -> None:
    assert resident_bytes() > 10 * MB
