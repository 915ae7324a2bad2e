"""Holds a checkpoint against llama.cpp, on the log-probs of fixed texts."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from checkpoint.candidate import Candidate
from checkpoint.errors import Refused
from checkpoint.rows import Reference, Rows, reference_of

_PROGRAM = "checkpoint_from_gguf --verify"
_MAX_NATS = 0.02


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near a checkpoint is to llama.cpp.

    Attributes:
        texts: How many texts both read.
        texts_split_alike: Of these, those with the same token ids on both sides.
        positions: Tokens after which distributions were compared.
        mean_kl_nats: Kullback-Leibler divergence from llama.cpp to the checkpoint, mean.
        worst_kl_nats: The greatest of any position.
        worst_text: Number of the text in which that is, from 0.
        worst_position: Number of the token after which that is, from 0.
        top_1_agreement: Share of positions with the same most probable token.
    """

    texts: int
    texts_split_alike: int
    positions: int
    mean_kl_nats: float
    worst_kl_nats: float
    worst_text: int
    worst_position: int
    top_1_agreement: float


def divergence(reference: Rows, candidate: Rows) -> npt.NDArray[np.float64]:
    """float64[positions]: Kullback-Leibler divergence of each row, in nats.

    Raises:
        Refused: The rows differ in width.
    """
    if reference.shape != candidate.shape:
        raise Refused(
            f"the reference has {reference.shape[-1]} tokens and the checkpoint "
            f"{candidate.shape[-1]}; they are not of the same model"
        )
    expected = reference.astype(np.float64)
    # A token without any mass in the reference adds nothing, whatever the checkpoint says.
    mass = np.exp(expected)
    gap = np.zeros_like(expected)
    np.subtract(expected, candidate, out=gap, where=mass > 0)
    # Rounding takes that of equal rows a little below zero.
    divergences: npt.NDArray[np.float64] = np.maximum((mass * gap).sum(axis=-1), 0.0)
    return divergences


def agreement(
    reference: Reference,
    encode: Callable[[str], list[int]],
    log_probs: Callable[[Sequence[int]], Rows],
) -> Agreement:
    """Compares on the reference's token ids; texts that are split otherwise are counted apart."""
    candidates = [log_probs(ids) for ids in reference.ids]
    divergences = [
        divergence(ours, theirs) for ours, theirs in zip(reference.rows, candidates, strict=True)
    ]
    alike = [
        ours.argmax(-1) == theirs.argmax(-1)
        for ours, theirs in zip(reference.rows, candidates, strict=True)
    ]
    worst_text = max(range(len(divergences)), key=lambda index: float(divergences[index].max()))
    everywhere = np.concatenate(divergences)
    return Agreement(
        texts=len(reference.ids),
        texts_split_alike=sum(
            encode(text) == list(ids)
            for text, ids in zip(reference.texts, reference.ids, strict=True)
        ),
        positions=len(everywhere),
        mean_kl_nats=float(everywhere.mean()),
        worst_kl_nats=float(everywhere.max()),
        worst_text=worst_text,
        worst_position=int(divergences[worst_text].argmax()),
        top_1_agreement=float(np.concatenate(alike).mean()),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares and prints; 1 where the two sides are further apart than allowed, 2 on misuse."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.write_reference is not None:
            return _write(parser, options)
        return _compare(parser, options)
    except Refused as refusal:
        line = str(refusal)
    except OSError as error:
        line = str(error)
    print(f"{_PROGRAM}: {line}", file=sys.stderr)
    return 1


def _write(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if len(options.paths) != 1 or options.reference is not None:
        parser.error("--write-reference takes SOURCE.gguf and nothing else")
    reference_of(options.paths[0]).save(options.write_reference)
    print(f"{options.write_reference}: llama.cpp's side of {options.paths[0]}")
    return 0


def _compare(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    wanted = 2 if options.reference is None else 1
    if len(options.paths) != wanted:
        parser.error("give SOURCE.gguf FOLDER, or --reference ROWS.npz FOLDER")
    candidate = Candidate(options.paths[-1])
    reference = (
        reference_of(options.paths[0])
        if options.reference is None
        else Reference.load(options.reference)
    )
    found = agreement(reference, candidate.encode, candidate.log_probs)
    print(json.dumps(asdict(found)) if options.json else _table(found))
    holds = found.mean_kl_nats <= options.at_most and found.texts_split_alike == found.texts
    return 0 if holds else 1


def _table(found: Agreement) -> str:
    where = f"after token {found.worst_position} of text {found.worst_text}"
    lines = (
        ("texts split alike", f"{found.texts_split_alike} of {found.texts}"),
        ("positions", f"{found.positions}"),
        ("mean KL", f"{found.mean_kl_nats:.5f} nats"),
        ("worst KL", f"{found.worst_kl_nats:.5f} nats, {where}"),
        ("same most probable token", f"{found.top_1_agreement:.1%}"),
    )
    return "\n".join(f"{name:<26}{value}" for name, value in lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description=__doc__)
    parser.add_argument(
        "paths", type=Path, nargs="*", metavar="SOURCE.gguf FOLDER", help="what is compared"
    )
    parser.add_argument(
        "--write-reference",
        type=Path,
        metavar="ROWS.npz",
        help="only compute llama.cpp's side of SOURCE.gguf, and keep it",
    )
    parser.add_argument(
        "--reference", type=Path, metavar="ROWS.npz", help="llama.cpp's side, computed before"
    )
    parser.add_argument(
        "--at-most",
        type=float,
        default=_MAX_NATS,
        metavar="NATS",
        help=f"mean divergence up to which the exit status is 0 ({_MAX_NATS})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
