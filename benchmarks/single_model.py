"""What one model costs in the service over the same model without it, side by side.

"Bare" is a loop of ``llama_decode`` calls and nothing else; llama-server is the program that comes
with llama.cpp. Each side runs in processes of its own, in turn, on the same cores, greedily and
from the same prompt.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from figures import Figure, figure, say, side_by_side
from peer import llama_server
from processes import (
    Bare,
    children,
    configuration,
    model_table,
    resident_bytes,
    server,
)
from quorate_bench.serving import proportional_bytes
from streams import PLACES, PROMPT, STREAMS, first_token_seconds, per_token_seconds, throughput

LONG_PROMPT = " ".join([PROMPT] * 8)
CONTEXT = 1024
SIZES = {"sessions": PLACES, "context_length": CONTEXT, "cells": PLACES * CONTEXT}


class SingleBench:
    """The comparisons, by what ``--only`` calls them.

    Args:
        model: The model.
        cores: Cores of every process.
        tokens: Tokens of an answer.
        rounds: Rounds of a comparison.
        peer: The program llama-server; None leaves it out.
    """

    def __init__(
        self, model: Path, cores: Sequence[int], tokens: int, rounds: int, peer: Path | None = None
    ) -> None:
        self.model = model
        self.cores = cores
        self.tokens = tokens
        self.rounds = rounds
        self.peer = peer

    def comparisons(self) -> Mapping[str, Callable[[], list[Figure]]]:
        """What can be compared, in the order of the table."""
        cores = self.cores
        found = {"bare": lambda: self.single(cores)}
        if len(cores) > 1:
            found["core"] = lambda: self.single(cores[:1], beside=cores)
            found["members"] = lambda: self.ensemble(cores)
        found["streams"] = lambda: self.concurrent(cores)
        if self.peer is not None:
            program = self.peer
            found["peer"] = lambda: self.beside_peer(program)
        return found

    def single(self, cores: Sequence[int], beside: Sequence[int] = ()) -> list[Figure]:
        """One model through gRPC against the bare loop, in as many threads.

        Args:
            cores: Cores of the model and of the bare loop.
            beside: Cores of everything; where it has more than ``cores``, the coordinator and the
                client have a core that the model leaves free.
        """
        threads = len(cores)
        say(f"one model, {threads} threads")
        bare = Bare(self.model, cores, PROMPT, 1)
        with server(self._config(["a"], len(cores)), beside or cores, 1) as served:
            ours, theirs, ratio = side_by_side(
                lambda: self._per_token(served.address, ["a"]),
                lambda: bare.run(1, self.tokens)["seconds"] / (self.tokens - 1),
                self.rounds,
            )
            found = [
                figure(
                    f"single model, {threads} thread{'s' * (threads > 1)}, gRPC / bare loop",
                    ratio,
                    "x",
                    f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms per token",
                    at_most=1.03,
                )
            ]
            if not beside:
                found += self._service_figures(served.address, served.pid)
        bare.close()
        return found

    def ensemble(self, cores: Sequence[int]) -> list[Figure]:
        """Two members on one core each against the slower one alone on one core."""
        say("two members, one core each")
        with server(self._config(["a", "b"], 1), cores, 2) as served:
            alone = {
                name: statistics.median(self._per_token(served.address, [name]) for _ in range(3))
                for name in ("a", "b")
            }
            slower = max(alone, key=lambda name: alone[name])
            ours, theirs, ratio = side_by_side(
                lambda: self._per_token(served.address, ["a", "b"]),
                lambda: self._per_token(served.address, [slower]),
                self.rounds,
            )
        return [
            figure(
                "two members, one core each / the slower one alone",
                ratio,
                "x",
                f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms per token",
                at_most=1.03,
            )
        ]

    def concurrent(self, cores: Sequence[int]) -> list[Figure]:
        """Eight streams against bare batched decoding of eight sequences."""
        say(f"{STREAMS} concurrent streams")
        bare = Bare(self.model, cores, PROMPT, STREAMS)
        with server(self._config(["a"], len(cores)), cores, 1) as served:
            ours, theirs, ratio = side_by_side(
                lambda: self._throughput(served.address),
                lambda: STREAMS * (self.tokens - 1) / bare.run(STREAMS, self.tokens)["seconds"],
                self.rounds,
            )
        bare.close()
        return [
            figure(
                f"{STREAMS} streams, gRPC / bare batched decoding, throughput",
                ratio,
                "x",
                f"{ours:.0f} against {theirs:.0f} tokens/s",
                at_least=0.90,
            )
        ]

    def beside_peer(self, program: Path) -> list[Figure]:
        """One stream and eight through gRPC against llama-server, on the same cores."""
        say("llama-server")
        with (
            llama_server(program, self.model, self.cores, STREAMS, CONTEXT) as peer,
            server(self._config(["a"], len(self.cores)), self.cores, 1) as served,
        ):
            ours, theirs, ratio = side_by_side(
                lambda: self._per_token(served.address, ["a"]),
                lambda: peer.per_token_seconds(PROMPT, self.tokens),
                self.rounds,
            )
            many, peers, share = side_by_side(
                lambda: self._throughput(served.address),
                lambda: peer.throughput(PROMPT, self.tokens, STREAMS),
                self.rounds,
            )
        return [
            figure(
                "one model, gRPC / llama-server, time per token",
                ratio,
                "x",
                f"{ours * 1e3:.2f} ms against {theirs * 1e3:.2f} ms per token",
                at_most=1.02,
            ),
            figure(
                f"{STREAMS} streams, gRPC / llama-server, throughput",
                share,
                "x",
                f"{many:.0f} against {peers:.0f} tokens/s",
                at_least=0.98,
            ),
        ]

    def _service_figures(self, address: str, pid: int) -> list[Figure]:
        """Time to first token and memory of a running service."""
        first = statistics.median(
            asyncio.run(first_token_seconds(address, f"{index} {LONG_PROMPT}", "a"))
            for index in range(5)
        )
        again = statistics.median(
            asyncio.run(first_token_seconds(address, f"4 {LONG_PROMPT}", "a")) for _ in range(5)
        )
        found = [
            figure("time to first token, new prompt", first * 1e3, "ms", "about 260 tokens"),
            figure("time to first token, same prompt", again * 1e3, "ms", "prefix reused"),
            figure(
                "memory of the coordinator",
                resident_bytes(pid) / 2**20,
                "MiB",
                "resident",
                at_most=120,
            ),
        ]
        size = self.model.stat().st_size
        for worker in children(pid):
            over = proportional_bytes(worker) - size
            found.append(
                figure(
                    "memory of a worker over its file",
                    over / 2**20,
                    "MiB",
                    f"file {size / 2**20:.0f} MiB, {PLACES * CONTEXT} KV cells",
                )
            )
        return found

    def _config(self, names: Sequence[str], cores: int) -> str:
        return configuration(
            *(model_table(name, self.model, cores, "llama_cpp", **SIZES) for name in names)
        )

    def _per_token(self, address: str, models: Sequence[str]) -> float:
        return per_token_seconds(address, PROMPT, models, self.tokens)

    def _throughput(self, address: str) -> float:
        return throughput(address, PROMPT, ["a"], self.tokens, STREAMS)
