"""Records of a run that never was, as a bench would have written them."""

from __future__ import annotations

import itertools
from typing import Any

from quorate_bench.measuring import PARTS
from quorate_bench.records import SCHEMA, Records

PLANS: list[dict[str, Any]] = [
    {"name": "large", "model": "large"},
    {"name": "small", "model": "small"},
    {"name": "large + small", "models": ["large", "small"], "rule": "linear"},
    {"name": "weighted", "models": {"large": 0.7, "small": 0.3}},
    {"name": "large, small", "stages": [["small", 0.5], "large"]},
]
_TOKEN_MS = {"large": 100.0, "small": 30.0, "large + small": 90.0, "weighted": 130.0,
             "large, small": 60.0}  # fmt: skip
_BITS = {"large": 0.9, "small": 1.2, "large + small": 0.85, "weighted": 0.88}


def records_of_a_run(name: str = "made up", slower: float = 1.0, every: int = 2) -> Records:
    """Three repetitions of every plan at two lengths, concurrencies and numbers of cores.

    Args:
        name: Of the sweep.
        slower: What all times are multiplied with.
        every: Cores of the machine.
    """
    axes = {"cores": [0, 1], "concurrency": [1, 4], "prompt_tokens": [64, 256],
            "answer_tokens": [4], "context_length": [2048], "quantisations": [""]}  # fmt: skip
    machine = {"cpu": "A <processor>", "cores": every, "memory_bytes": 8 << 30,
               "caches": ["L2 1 MiB"], "read_bytes_per_second": 1e10, "gpus": [],
               "governor": "performance", "system": "Linux"}  # fmt: skip
    sizes = {"sha256": "0", "parameters": 1, "file_bytes": 1, "memory_bytes": 1,
             "context_length": 2048}  # fmt: skip
    found = Records(
        {
            "kind": "run", "schema": SCHEMA, "at": 1.8e9, "machine": machine,
            "versions": {"quorate": "1"}, "commit": "abc",
            "models": {"large": sizes, "small": sizes},
            "sweep": {"name": name, "plans": PLANS, "axes": axes,
                      "measure": {"repetitions": 3}},
        }
    )  # fmt: skip
    setting = {"cores": every, "context_length": 2048, "quantisation": ""}
    found.servers.append(
        {**setting, "load_seconds": {"large": 2.0, "small": 1.0}, "memory_bytes": 2 << 30,
         "file_bytes": {"large": 900_000_000, "small": 200_000_000}}
    )  # fmt: skip
    points = [(every, 1, 64), (1, 1, 64), (every, 4, 64), (every, 1, 256)]
    for (cores, streams, prompt), plan, repetition in itertools.product(points, PLANS, range(3)):
        ms = slower * _TOKEN_MS[plan["name"]] * (1 + (cores == 1)) * (1 + 0.01 * repetition)
        found.measurements.append(
            {
                "kind": "measurement", "plan": plan["name"], **setting, "cores": cores,
                "concurrency": streams, "prompt_tokens": prompt, "answer_tokens": 4,
                "repetition": repetition, "first_ms": [ms * prompt / 8] * streams,
                "gaps_ms": [ms * streams**0.5] * (3 * streams), "tokens": 4 * streams,
                "tokens_per_second": 1e3 / ms * streams**0.5, "waited_share": 0.9,
                "parts_ms": dict(zip(PARTS, (ms * streams * part for part in
                                  (2.4, 0.3, 0, 0.2, 0.1, 0)), strict=True)),
                "joules": ms * 0.04, "tier": "estimated", "drafted": 10, "accepted": 7,
                "other_load": 0.0, "stolen": 0.0,
            }
        )  # fmt: skip
    found.qualities = [
        {"plan": plan, "quantisation": "", "bits_per_byte": bits, "accuracy": None}
        for plan, bits in _BITS.items()
    ]
    found.left_out = [{"kind": "left_out", "plan": "large", **setting, "concurrency": 64,
                       "prompt_tokens": 64, "answer_tokens": 4, "reason": "no <time>"}]  # fmt: skip
    found.ended = True
    return found
