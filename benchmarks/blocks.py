"""What a block of k tokens costs in one feed, against k feeds of one token.

    .venv/bin/python benchmarks/blocks.py [--json] [--model PATH.gguf] [--rounds 7]
    .venv-vllm/bin/python benchmarks/blocks.py --model CHECKPOINT [--json] [--rounds 7]

A ratio of 1 would mean that a block saves nothing; below it, verifying a draft of that length costs
so much of what decoding it token by token does. Both sides are feeds of one session of one model on
two cores, in turn, rewound each time; a single feed is measured once a round, and figures are
medians over rounds. How much a block saves differs between models and builds: by it the vote
chooses how far it drafts. The model defaults to SmolLM2-135M from the extra ``demo``; the folder of
a checkpoint runs in vLLM.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from decode import embedded_model
from figures import Figure, figure, report, say
from streams import PROMPT

from quorate.engines.contract import Engine, Session
from quorate.engines.spec import EngineSpec
from quorate.engines.worker.engine import HostedEngine
from quorate.fleet.cores import available_cores
from quorate.request import TextPrompt

SIZES = (1, 2, 3, 4, 5, 6, 8, 16, 32)
CONTEXT = 1024


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="What blocks cost against single feeds.")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--model", type=Path, default=None, help="a GGUF file, or a folder")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per size")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.model or embedded_model(), arguments.rounds))
    report(found, "json" if arguments.json else "table")


async def measure(model: Path, rounds: int) -> list[Figure]:
    """Loads a model and compares, for every size that it gives."""
    options = {"sessions": 2, "context_length": CONTEXT, "cells": 2 * CONTEXT}
    engine_name = "vllm" if model.is_dir() else "llama_cpp"
    engine = HostedEngine(EngineSpec(model.stem, engine_name, str(model), options), cores())
    engine.start()
    await engine.wait_ready()
    try:
        return [await compared(engine, size, rounds) for size in SIZES]
    finally:
        await engine.close()


def cores() -> Sequence[int]:
    """Two of them, where there are two."""
    return available_cores()[:2]


async def compared(engine: Engine, size: int, rounds: int) -> Figure:
    """One size, the sides in turn."""
    say(f"blocks of {size}")
    session = await engine.open(CONTEXT)
    prompt = await engine.encode(TextPrompt(PROMPT))
    await session.feed(prompt)
    draft = (prompt * size)[:size]
    ratios, blocks, singles = [], [], []
    for _ in range(rounds):
        blocks.append(await seconds_of_a_block(session, draft))
        singles.append(size * await seconds_of_a_feed(session, draft[:1]))
        ratios.append(blocks[-1] / singles[-1])
    session.close()
    middle = rounds // 2
    block, single, ratio = (sorted(every)[middle] for every in (blocks, singles, ratios))
    detail = f"{block * 1e3:.1f} ms against {single * 1e3:.1f} ms, {single * 1e3 / size:.1f} each"
    return figure(f"a block of {size} / {size} feeds", ratio, "x", detail)


async def seconds_of_a_block(session: Session, draft: list[int]) -> float:
    """One feed with a row behind each token."""
    began = time.perf_counter()
    await session.feed_block(draft, len(draft))
    took = time.perf_counter() - began
    session.rewind(len(draft))
    return took


async def seconds_of_a_feed(session: Session, token: list[int]) -> float:
    """One feed with a row, behind another: the first behind a block may have to make up for it."""
    await session.feed(token)
    session.rewind(1)
    began = time.perf_counter()
    await session.feed(token)
    took = time.perf_counter() - began
    session.rewind(1)
    return took


if __name__ == "__main__":
    main()
