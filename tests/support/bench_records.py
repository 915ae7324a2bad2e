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


def _run(sweep: dict[str, Any]) -> Records:
    """Records with nothing but a machine of two cores that reads 10 GB/s."""
    return Records({**records_of_a_run().run, "sweep": sweep}, ended=True)


def _measured(
    plan: str, repetition: int, ms: float, quantisation: str = "", streams: int = 1,
    prompt: int = 64, context_length: int = 224,
) -> dict[str, Any]:  # fmt: skip
    """Answers of four tokens, each of which took so long."""
    return {
        "kind": "measurement", "plan": plan, "cores": 2, "context_length": context_length,
        "quantisation": quantisation, "concurrency": streams, "prompt_tokens": prompt,
        "answer_tokens": 4, "repetition": repetition, "first_ms": [prompt * 0.1] * streams,
        "gaps_ms": [ms] * (3 * streams), "tokens": 4 * streams, "read_tokens": prompt * streams,
        "tokens_per_second": streams * 1e3 / ms, "waited_share": None, "joules": None,
        "tier": "unavailable", "drafted": 0, "accepted": 0, "other_load": 0.0, "stolen": 0.0,
    }  # fmt: skip


def records_of_peers() -> Records:
    """Quorate at 10 ms, twice as fast as one program, as fast as another, slower than a third."""
    times = {
        ("Quorate", ""): (10.0, ""), ("bare", ""): (10.0, "Quorate"),
        ("slow", ""): (20.0, "Quorate"), ("Quorate", "BF16"): (30.0, ""),
        ("quick", "BF16"): (15.0, "Quorate"), ("absent", "BF16"): (0.0, "Quorate"),
    }  # fmt: skip
    sides = [
        {"name": name, "quantisation": kind, "against": against, "command": f"run {name}",
         "version": "1.2" if name == "quick" else "", "missing": "" if ms else "not installed"}
        for (name, kind), (ms, against) in times.items()
    ]  # fmt: skip
    axes = {"cores": [2], "concurrency": [1, 4], "prompt_tokens": [64], "answer_tokens": [4],
            "context_length": [224], "quantisations": ["", "BF16"]}  # fmt: skip
    plans = [{"name": name} for name in ("Quorate", "bare", "slow", "quick", "absent")]
    found = _run({"name": "peers", "about": "peers", "plans": plans, "sides": sides, "axes": axes,
                  "measure": {"repetitions": 3}})  # fmt: skip
    for (name, kind), (ms, _) in times.items():
        for streams, repetition in itertools.product((1, 4), range(3)):
            # A machine that slows down slows down all, and the bare loop is a little noisy.
            drift = 1 + 0.2 * repetition
            noise = (0.9, 1.0, 1.1)[repetition] if name == "bare" else 1.0
            one = _measured(name, repetition, (ms or 1.0) * drift * noise, kind, streams)
            if ms:
                found.measurements.append(one)
            else:
                case = {key: one[key] for key in _CASE}
                found.left_out.append({"kind": "left_out", **case, "reason": "not installed"})
    return found


_CASE = ("plan", "cores", "context_length", "quantisation", "concurrency", "prompt_tokens",
         "answer_tokens")  # fmt: skip


def records_of_growth() -> Records:
    """Steps of 10 ms a member, a millisecond for each further answer, and little for the rest."""
    plans: list[dict[str, Any]] = [{"name": "1 member", "model": "m-1", "members": 1}]
    plans += [
        {"name": f"{n} members", "models": [f"m-{k + 1}" for k in range(n)], "members": n}
        for n in (2, 3, 4)
    ]
    plans += [
        {"name": f"{size:,} tokens (made up)", "models": [f"v{size}-1", f"v{size}-2"],
         "members": 2, "vocabulary": size, "tokenizer": "made up"}
        for size in (512, 262_144)
    ]  # fmt: skip
    axes = {"cores": [2], "concurrency": [1, 8, 64], "prompt_tokens": [64, 512, 2048],
            "answer_tokens": [4], "context_length": [4096, 224], "quantisations": [""]}  # fmt: skip
    found = _run({"name": "growth", "about": "growth", "only": [], "plans": plans, "axes": axes,
                  "kv_bytes_per_token": 10_000.0, "measure": {"repetitions": 3}})  # fmt: skip
    setting = {"cores": 2, "quantisation": "", "load_seconds": {"m-1": 1.0}, "memory_bytes": 1}
    found.servers = [
        {**setting, "context_length": 4096,
         "file_bytes": {f"m-{k + 1}": 80_000_000 for k in range(4)},
         # Caches hold one of them, and the whole of none of the votes.
         "read_bytes_per_second": {"1 member": 2e10}},
        {**setting, "context_length": 224, "file_bytes": {"v512-1": 32_768, "v512-2": 32_768,
         "v262144-1": 16_777_216, "v262144-2": 16_777_216}},
    ]  # fmt: skip
    points = [(n, 1, 64) for n in (1, 2, 3, 4)]
    points += [(n, streams, 64) for streams in (8, 64) for n in (1, 2)]
    points += [(n, 1, prompt) for prompt in (512, 2048) for n in (1, 2)]
    for (members, streams, prompt), repetition in itertools.product(points, range(3)):
        ms = members * (10 + (streams - 1) + prompt / 1024) * (1 + 0.01 * repetition)
        found.measurements.append(
            _measured(plans[members - 1]["name"], repetition, ms, "", streams, prompt, 4096)
        )
    for size, repetition in itertools.product((512, 262_144), range(3)):
        ms = 1.0 + size / 131_072 + 0.01 * repetition
        found.measurements.append(_measured(f"{size:,} tokens (made up)", repetition, ms))
    return found
