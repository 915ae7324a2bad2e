"""What it costs to hold an answer to a form: its time per token, held against free, in one run.

Of byte votes it is the time per byte, since their tokens are words.

Two forms: any text at all, so that the same text is written with every mask computed, and JSON of a
schema that does not come to its end. Free answers of one model are drawn where its rows are, held
ones are chosen by the coordinator token by token.

    python benchmarks/constraints.py --models LARGE SMALL OTHER [--rounds N] [--tokens N] [--json]

LARGE and SMALL are GGUF files of one vocabulary, OTHER is of another one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import Figure, figure, report, say, side_by_side
from processes import configuration, server

from quorate.client import Client

_FREE: Mapping[str, Any] = {}
_FORMS: Mapping[str, Mapping[str, Any]] = {
    "any text": {"regex": r"(?s:.*)"},
    "JSON": {
        "json_schema": {
            "type": "array",
            "minItems": 100,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "year": {"type": "integer"},
                    "tags": {"type": "array", "items": {"enum": ["old", "new", "rare"]}},
                },
                "required": ["name", "year", "tags"],
                "additionalProperties": False,
            },
        }
    },
}
_PROMPT = "List a hundred programming languages as JSON with name, year and tags:\n"
_MOST = 1.1


class _Side:
    """One way to answer."""

    def __init__(self, address: str, plan: Mapping[str, Any], form: Mapping[str, Any]) -> None:
        self._address = address
        self._asked = {**plan, **form}
        self._by_bytes = "other" in plan.get("models", ())
        self.text = ""

    def milliseconds(self) -> float:
        """Time per token, or per byte, behind what came first."""
        return asyncio.run(self._answer())

    async def _answer(self) -> float:
        first, tokens, parts = 0.0, 0, []
        async with Client(self._address) as client:
            async for event in client.generate(
                _PROMPT, temperature=0.0, omit_logprobs=True, **self._asked
            ):
                if event.delta.tokens:
                    first = first or time.perf_counter()
                    tokens += len(event.delta.tokens)
                    parts.append(event.delta.text)
            seconds = time.perf_counter() - first
        self.text = "".join(parts)
        if self._by_bytes:
            return 1000.0 * seconds / max(1, len("".join(parts[1:]).encode()))
        return 1000.0 * seconds / max(1, tokens - 1)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs=3, type=Path, metavar=("LARGE", "SMALL", "OTHER"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.models is None:
        parser.error("give the models")
    names = ("large", "small", "other")
    models = "\n".join(
        f'[[models]]\nid = "{name}"\nmodel = "{path.resolve()}"\n'
        "options = { context_length = 1024 }"
        for name, path in zip(names, options.models, strict=True)
    )
    plans: Mapping[str, Mapping[str, Any]] = {
        "the small one alone": {"model": "small"},
        "vote of tokens": {"models": ["large", "small"]},
        "vote of tokens, no drafts": {"models": ["large", "small"], "drafts": "off"},
        "vote of bytes": {"models": ["small", "other"]},
    }
    figures: list[Figure] = []
    cores = sorted(os.sched_getaffinity(0))
    with server(configuration(models), cores, len(names)) as served:
        for plan, asked in plans.items():
            for form, held in _FORMS.items():
                say(f"{plan}, {form}")
                limit = {**asked, "max_tokens": options.tokens}
                free = _Side(served.address, limit, _FREE)
                kept = _Side(served.address, limit, held)
                for side in (free, kept):
                    side.milliseconds()
                ours, theirs, ratio = side_by_side(
                    kept.milliseconds, free.milliseconds, options.rounds
                )
                if "json_schema" in held and not kept.text.lstrip().startswith("["):
                    raise SystemExit(f"constraints: {plan} wrote {kept.text!r}, which is no array")
                detail = f"{ours:.1f} against {theirs:.1f} ms"
                name = f"{plan}: {form} / free"
                figures.append(figure(name, ratio, "x", detail, at_most=_MOST))
    report(figures, "json" if options.json else "table")


if __name__ == "__main__":
    main()
