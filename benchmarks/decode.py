"""What the vote and the service cost over bare llama.cpp, side by side on this machine.

    .venv/bin/python benchmarks/decode.py [--models LARGE SMALL [OTHER]] [--only NAME ...]
        [--llama-server "$(benchmarks/llama_server)"] [--json] [--tokens 96] [--rounds 9]

Every ratio compares two sides that run in turn on the same two cores; figures are medians over
rounds. With ``--models`` the vote of a large model and a small one with the same vocabulary is held
against the large one alone, and a byte-exact vote of the small one and OTHER, which has another,
against the small one alone. ``member_first`` has each token of sampled answers drawn from one
member, as nobody asks for log-probs. What one model costs is measured with SMALL, without
``--models`` with SmolLM2-135M from the extra ``demo``. ``scripts/fetch_models`` brings models to
take.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from figures import Figure, report
from single_model import SingleBench
from voting import VotingBench


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="What the vote costs over bare llama.cpp.")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--model", type=Path, default=None, help="a GGUF file")
    parser.add_argument(
        "--models", type=Path, nargs="+", default=[], metavar="GGUF", help="LARGE SMALL [OTHER]"
    )
    parser.add_argument(
        "--llama-server", type=Path, default=None, help="see benchmarks/llama_server"
    )
    parser.add_argument("--tokens", type=int, default=96, help="tokens per answer")
    parser.add_argument("--rounds", type=int, default=9, help="rounds per comparison")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some comparisons")
    arguments = parser.parse_args()
    if arguments.models and (arguments.model or not 2 <= len(arguments.models) <= 3):
        parser.error("--models takes LARGE SMALL [OTHER], and no --model beside it")
    found = comparisons(arguments)
    if unknown := sorted(set(arguments.only) - found.keys()):
        parser.error(f"no comparison {', '.join(unknown)}; there are {', '.join(found)}")
    figures = [
        one
        for name, compare in found.items()
        if not arguments.only or name in arguments.only
        for one in compare()
    ]
    report(figures, "json" if arguments.json else "table")


def comparisons(arguments: argparse.Namespace) -> Mapping[str, Callable[[], list[Figure]]]:
    """What can be compared with what was given, by name."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    models: Sequence[Path] = arguments.models
    model = models[1] if models else arguments.model or embedded_model()
    tokens, rounds = arguments.tokens, arguments.rounds
    single = SingleBench(model, cores, tokens, rounds, arguments.llama_server)
    found = dict(single.comparisons())
    if models:
        other = models[2] if len(models) > 2 else None
        voting = VotingBench(models[0], models[1], other, cores, tokens, rounds)
        found = {**voting.comparisons(), **found}
    return found


def embedded_model() -> Path:
    """The model of the extra ``demo``."""
    from quorate_registry import Registry

    return Registry().resolve("smollm2-135m-instruct").path


if __name__ == "__main__":
    main()
