from __future__ import annotations

import subprocess
import sys

from quorate.app.interpreter import SWITCH_SECONDS

DEADLINE_SECONDS = 60.0

SETTLED = """
import gc, sys
from quorate.app.interpreter import settle_interpreter

class Node:
    pass

there = Node()
gc.collect()
loaded = len(gc.get_objects())
settle_interpreter()
new = Node()
objects = gc.get_objects()
print(any(one is there for one in objects), any(one is new for one in objects))
print(len(objects) < loaded / 10, sys.getswitchinterval())
"""


def test_what_is_loaded_is_never_collected_again_and_threads_take_short_turns() -> None:
    told = subprocess.run(
        [sys.executable, "-c", SETTLED],
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_SECONDS,
    ).stdout.split()
    assert told == ["False", "True", "True", str(SWITCH_SECONDS)]
