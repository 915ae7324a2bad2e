"""What this machine's kernel can keep worker processes from, for people."""

from __future__ import annotations

from quorate.engines.confinement import landlock, system_calls


def survey() -> str:
    """One line: what holds for workers here, and what the kernel lacks for more."""
    known = landlock.version()
    holds, lacks = ["no new privileges"], []
    if known:
        holds.append(f"files by Landlock {known}")
    else:
        lacks.append("Landlock, so that they can read what this user can")
    if known >= landlock.SIGNALS_VERSION:
        holds.append("signals")
    elif known:
        lacks.append(f"Landlock {landlock.SIGNALS_VERSION}, so that they can send signals")
    if system_calls.is_known():
        holds.append("network and other processes by seccomp")
    else:
        lacks.append("a filter of system calls for this architecture, so that they have a network")
    text = f"workers are confined ({', '.join(holds)})"
    return f"{text}; missing here: {'; '.join(lacks)}" if lacks else text
