"""Does an ensemble of models with different tokenizers beat its best member?

    .venv/bin/python benchmarks/quality.py [--json] [--part bits|questions|speed]
        [--stories PATH.gguf] [--questions N] [--pair PATH.gguf PATH.gguf]
    .venv/bin/python benchmarks/quality.py --real DATA ID=PATH.gguf ID=PATH.gguf ... [--json]
        [--questions N] [--task NAME ...] [--keep FILE.jsonl]

Three parts, each over a real server on this machine:

- ``bits``: bits per byte of SmolLM2 and a model of children's stories, alone and together, on
  stories, on prose and code, and on the two interleaved;
- ``questions``: accuracy of SmolLM2, of the embedded specialist of an invented catalogue, and of
  the two under every weighting, on questions in the specialist's domain, outside it, and on prompts
  that need both, with bootstrap intervals;
- ``speed``: bytes per second of the byte-exact pair against the slower member alone, and of the
  union of candidates against the byte-exact pair; --pair takes two other models.

With --real it asks every kind of plan over real models, the largest first and the first two of one
vocabulary, public questions in a folder of JSON lines, and says for each whether it pays; see
``quality_real``. It goes on where a run was ended.

The model of stories is Karpathy's stories260K: ``quorate models pull stories260k``, or --stories.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from figures import Figure, report, say
from quality_bits import measure_bits
from quality_questions import measure_questions
from quality_real import TASKS, measure_real
from quality_speed import measure_speed

from quorate_registry import ModelNotPresent, Registry

PARTS = ("bits", "questions", "speed")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="Whether an ensemble beats its best member.")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--part", choices=PARTS, default=None, help="one part; all by default")
    parser.add_argument("--stories", type=Path, default=None, help="stories260K.gguf")
    parser.add_argument("--questions", type=int, default=None, help="most questions of each kind")
    parser.add_argument(
        "--pair",
        type=Path,
        nargs=2,
        default=None,
        help="models of the part speed, the slower first",
    )
    parser.add_argument("--real", nargs="+", metavar=("DATA", "ID=PATH"), default=None)
    parser.add_argument("--task", choices=TASKS, action="append", default=None)
    parser.add_argument("--keep", type=Path, default=Path(".cache/quality-answers.jsonl"))
    arguments = parser.parse_args()
    if arguments.real is not None:
        folder, *named = arguments.real
        models = {name: Path(path) for name, _, path in (one.partition("=") for one in named)}
        if len(models) < 2:
            parser.error("--real needs a folder of questions and at least two models, ID=PATH")
        tasks = arguments.task or TASKS
        found = measure_real(models, Path(folder), arguments.keep, arguments.questions, tasks)
        report(found, "json" if arguments.json else "table")
        return
    registry = Registry()
    generalist = registry.resolve("smollm2-135m-instruct").path
    specialist = registry.resolve("catalogue-specialist").path
    figures: list[Figure] = []
    if arguments.part in (None, "bits"):
        stories = arguments.stories or _pulled(registry)
        if stories is None:
            say("no stories260k here: the part bits is left out; pull it, or give --stories")
        else:
            figures += measure_bits(generalist, stories)
    if arguments.part in (None, "questions"):
        figures += measure_questions(generalist, specialist, arguments.questions)
    if arguments.part in (None, "speed"):
        figures += measure_speed(*(arguments.pair or (generalist, specialist)))
    report(figures, "json" if arguments.json else "table")


def _pulled(registry: Registry) -> Path | None:
    try:
        return registry.resolve("stories260k").path
    except ModelNotPresent:
        return None


if __name__ == "__main__":
    main()
