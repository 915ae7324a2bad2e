"""The command ``scripts/checkpoint_from_gguf``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from endings import fail, leave_in_order

from checkpoint.convert import convert
from checkpoint.dtypes import DTYPES
from checkpoint.errors import Refused

_PROGRAM = "checkpoint_from_gguf"
_GIGABYTE = 10**9


def main(arguments: Sequence[str] | None = None) -> int:
    """Converts a file; 0 where the checkpoint stands, 1 with one line where it does not."""
    options = _parser().parse_args(arguments)
    leave_in_order()
    try:
        result = convert(
            options.source,
            options.folder,
            DTYPES[options.dtype],
            int(options.shard_gb * _GIGABYTE),
            replace=options.force,
            progress=sys.stderr,
        )
    except Refused as refusal:
        return fail(_PROGRAM, str(refusal))
    except OSError as error:
        return fail(_PROGRAM, f"cannot write {options.folder}: {error.strerror or error}")
    except MemoryError:
        return fail(_PROGRAM, "out of memory; --shard-gb with a smaller number needs less")
    except KeyboardInterrupt:
        return fail(_PROGRAM, "interrupted; nothing was written", status=130)
    print(
        f"{options.folder}: {result.parameters:,} parameters as {options.dtype}, "
        f"{result.weight_bytes:,} bytes in {result.files} file{'s'[: result.files > 1]}, "
        f"{result.tokens:,} tokens"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Makes a Hugging Face checkpoint out of a GGUF file of the llama architecture.",
        epilog=f"{_PROGRAM} --verify --help tells how to hold a checkpoint against llama.cpp.",
    )
    parser.add_argument("source", type=Path, metavar="SOURCE.gguf", help="the file to read")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder to make")
    parser.add_argument(
        "--dtype", choices=sorted(DTYPES), default="bf16", help="type of the weights (bf16)"
    )
    parser.add_argument(
        "--shard-gb",
        type=_positive,
        default=4.0,
        metavar="GB",
        help="most gigabytes of weights in one file, and about what is held in memory (4)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace a checkpoint that is there already"
    )
    return parser


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


if __name__ == "__main__":
    sys.exit(main())
