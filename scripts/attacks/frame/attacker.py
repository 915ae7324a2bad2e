"""The attacker's process: runs one case against a server, and prints the line that it returns.

It gives way to the server and its neighbour: elsewhere, it would not take their processors.
"""

from __future__ import annotations

import asyncio
import inspect
import sys

from attacks.frame.cases import Target, all_cases
from quorate.niceness import LAST_LEVEL, give_way


def main() -> None:
    """Takes the case's name and the fields of ``Target`` from the command line."""
    name, address, token, seconds, pid = sys.argv[1:]
    give_way(LAST_LEVEL)
    target = Target(address, token, float(seconds), int(pid))
    answer = all_cases()[name].attack(target)
    if inspect.iscoroutine(answer):
        answer = asyncio.run(answer)
    print(answer, flush=True)


if __name__ == "__main__":
    main()
