"""What a machine with a GPU shows of a running server; ``scripts/prove_gpu`` runs it there.

    python -m proving.gpu FOLDER [--cpu]

One line a proof; the exit status is 1 where one fails.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pace import drafting
from processes import configuration, model_table, server

from proving.inflated import inflate
from quorate.client import Client
from quorate.v1 import inference_pb2

# 16 layers of 3 x 128 x 65,536 weights: 0.4 billion, 0.8 GB in float16.
LAYERS, WIDTH = 16, 65_536
_SMALL = (2, 1_024)
QUESTION = (("user", "What does KX-921 cost?"),)
TOKENS = 24


class Failed(Exception):
    """A proof that does not hold; says why."""


@dataclass(frozen=True)
class Answer:
    """A whole answer, what it took, and the mean time of a token after the first."""

    text: str
    usage: inference_pb2.Usage
    seconds_per_token: float


@dataclass(frozen=True)
class Bench:
    """The server that is asked.

    Attributes:
        address: Where it listens.
        weights: Bytes of the large model's file.
        taken: Bytes of GPU memory that loading took.
        gpu: Whether there is one.
    """

    address: str
    weights: int
    taken: int
    gpu: bool

    def ask(self, **options: Any) -> Answer:
        """One greedy answer to the question."""
        return asyncio.run(_ask(self.address, **options))


def offload(bench: Bench) -> str:
    """The weights lie in the memory of the GPU."""
    if not bench.gpu:
        return "left out"
    if bench.taken < bench.weights * 0.9:
        raise Failed(
            f"loading took {bench.taken >> 20} MiB of {bench.weights >> 20} MiB of weights"
        )
    return f"{bench.taken >> 20} MiB of GPU memory for {bench.weights >> 20} MiB of weights"


def vote(bench: Bench) -> str:
    """Members that know the same say together what each says alone."""
    large, small = bench.ask(model="large"), bench.ask(model="small")
    both = bench.ask(models=["large", "small"], votes=True, **drafting("off"))
    if not large.text or not large.text == small.text == both.text:
        raise Failed(f"alone {large.text!r} and {small.text!r}, together {both.text!r}")
    return (
        f"{both.text!r}; ms per token: large {large.seconds_per_token * 1e3:.2f}, "
        f"small {small.seconds_per_token * 1e3:.2f}, vote {both.seconds_per_token * 1e3:.2f}"
    )


def joules(bench: Bench) -> str:
    """Energy is measured on a GPU, and known of every member."""
    usage = bench.ask(models=["large", "small"]).usage
    wanted = inference_pb2.ENERGY_TIER_MEASURED if bench.gpu else None
    told = []
    for model in usage.models:
        if wanted is not None and model.energy.tier != wanted:
            tier = inference_pb2.EnergyTier.Name(model.energy.tier)
            raise Failed(f"{model.model}: {tier} instead of ENERGY_TIER_MEASURED")
        if not model.energy.joules > 0:
            raise Failed(f"{model.model}: no joules")
        told.append(f"{model.model} {model.energy.joules:.2f} J")
    return ", ".join(told)


def drafts(bench: Bench) -> str:
    """Drafts change nothing but the time."""
    if not drafting("off"):
        return "left out: this version has none"
    models = ["large", "small"]
    without = bench.ask(models=models, **drafting("off"))
    with_them = bench.ask(models=models, **drafting("auto"))
    if without.text != with_them.text:
        raise Failed(f"without {without.text!r}, with {with_them.text!r}")
    ratio = with_them.seconds_per_token / without.seconds_per_token
    return f"the same text in {ratio:.2f} of the time"


PROOFS: tuple[Callable[[Bench], str], ...] = (offload, vote, joules, drafts)


def main(arguments: list[str]) -> int:
    """Runs every proof; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu", action="store_true", help="without a GPU, and small")
    given = parser.parse_args(arguments)
    given.folder.mkdir(exist_ok=True)
    if not given.cpu:
        print(_smi("name,driver_version,memory.total"))
    began = time.monotonic()
    with _bench(given.folder, gpu=not given.cpu) as bench:
        failures = sum(not _holds(proof, bench) for proof in PROOFS)
    print(f"{len(PROOFS) - failures} of {len(PROOFS)} hold, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


def _holds(proof: Callable[[Bench], str], bench: Bench) -> bool:
    try:
        print(f"holds   {proof.__name__}: {proof(bench)}", flush=True)
    except Exception as error:
        # One proof that fails must not keep the others from being tried: the machine is lent.
        print(f"FAILED  {proof.__name__}: {error}", flush=True)
        return False
    return True


@contextmanager
def _bench(folder: Path, *, gpu: bool) -> Iterator[Bench]:
    from quorate_registry import Registry

    small = Registry().resolve("catalogue-specialist").path
    large = folder / ("large.gguf" if gpu else "large-for-cpu.gguf")
    inflate(small, large, *((LAYERS, WIDTH) if gpu else _SMALL))
    sizes = {"sessions": 8, "context_length": 512, "cells": 2048}
    tables = [
        model_table(name, path, 0, "llama_cpp", **sizes)
        for name, path in (("large", large), ("small", small))
    ]
    before = _gpu_memory() if gpu else 0
    cores = sorted(os.sched_getaffinity(0))
    with server(configuration(*tables), cores, len(tables)) as served:
        taken = _gpu_memory() - before if gpu else 0
        yield Bench(served.address, large.stat().st_size, taken, gpu)


async def _ask(address: str, **options: Any) -> Answer:
    times: list[float] = []
    text, usage = "", inference_pb2.Usage()
    async with Client(address) as client:
        async for event in client.generate(
            messages=QUESTION, temperature=0.0, max_tokens=TOKENS, **options
        ):
            if event.HasField("delta"):
                times += [time.perf_counter()] * len(event.delta.tokens)
                text += event.delta.text
            elif event.HasField("finished"):
                usage = event.finished.usage
    if len(times) < 2:
        raise Failed(f"the answer {text!r} is too short")
    return Answer(text, usage, (times[-1] - times[0]) / (len(times) - 1))


def _smi(fields: str) -> str:
    """What ``nvidia-smi`` says of the first GPU."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _gpu_memory() -> int:
    return int(_smi("memory.used")) << 20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
