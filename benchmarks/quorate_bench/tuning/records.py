"""Records of a tuning: a JSON object on each line, which the same command goes on from.

``docs/tune.md`` documents them. Repetitions are recorded as wholes: of one that was interrupted
nothing is kept, since what is measured before and after a break is not side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quorate.errors import SettingsError
from quorate.files import read_file
from quorate.foreign_text import one_line
from quorate_bench.noise import Load
from quorate_bench.records import json_lines
from quorate_bench.tuning.search import Block
from quorate_bench.tuning.variants import Variant, variant_of

SCHEMA = 1
_BEGIN = b'{"kind": "tune"'


@dataclass(slots=True)
class TuneRecords:
    """What a file of records says.

    Attributes:
        run: The machine, the versions, the configuration and the work.
        blocks: Repetitions, in their order.
        loads: What other programs took meanwhile, of each measurement that can tell.
        qualities: Bits per byte of plans, by whether they are of the proposal.
    """

    run: dict[str, Any]
    blocks: list[Block] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    qualities: dict[bool, dict[str, float]] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Takes up a record of another kind than ``tune``.

        Raises:
            KeyError, TypeError, ValueError: It is none.
        """
        match record["kind"]:
            case "repetition":
                self.blocks.append(_block(record))
                self.loads += [Load(float(a), float(b)) for a, b in record["loads"]]
            case "quality":
                found = {str(name): float(bits) for name, bits in record["bits_per_byte"].items()}
                self.qualities[bool(record["proposal"])] = found
            case kind:
                raise ValueError(f"no kind: {kind!r}")


def block_record(block: Block, loads: list[Load], at: float) -> dict[str, Any]:
    """A repetition as a record has it."""
    return {
        "kind": "repetition",
        "race": block.race,
        "base": block.base.told(),
        "measured": [
            {"changes": variant.told(), "values": dict(values)}
            for variant, values in block.values.items()
        ],
        "failed": [
            {"changes": variant.told(), "problem": problem}
            for variant, problem in block.problems.items()
        ],
        "seconds": round(block.seconds, 3),
        "loads": [[round(one.others, 4), round(one.stolen, 4)] for one in loads],
        "at": at,
    }


def is_a_tuning(path: Path) -> bool:
    """Whether a file is empty, or begins as records of a tuning do.

    Raises:
        SettingsError: It cannot be read.
    """
    begin = read_file(path, "give another --output")[: len(_BEGIN)]
    return not begin or begin == _BEGIN


def read_tune_records(path: Path) -> TuneRecords:
    """Reads a file of records; a last line that was cut off is passed over.

    Raises:
        SettingsError: It cannot be read, is no such file, or of a later schema.
    """
    found: TuneRecords | None = None
    for number, record in json_lines(path, "give a file that quorate tune wrote"):
        if found is None:
            if record.get("kind") != "tune":
                raise SettingsError(
                    f"{path}: line {number}: no record of a tuning; see docs/tune.md"
                )
            if record.get("schema") != SCHEMA:
                schema = one_line(str(record.get("schema")))
                raise SettingsError(
                    f"{path}: is of schema {schema}, and this version reads {SCHEMA}"
                )
            found = TuneRecords(record)
            continue
        try:
            found.add(record)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            told = one_line(str(error))
            raise SettingsError(f"{path}: line {number}: {told}; see docs/tune.md") from error
    if found is None:
        raise SettingsError(f"{path}: holds no records")
    return found


def _block(record: Mapping[str, Any]) -> Block:
    values = {
        variant_of(one["changes"]): {str(k): _positive(v) for k, v in one["values"].items()}
        for one in record["measured"]
    }
    problems = {variant_of(one["changes"]): str(one["problem"]) for one in record["failed"]}
    base: Variant = variant_of(record["base"])
    if base not in values:
        raise ValueError("its base was not measured")
    names = values[base].keys()
    if not names or any(one.keys() != names for one in values.values()):
        raise ValueError("its cases are not the same for all")
    return Block(str(record["race"]), base, values, problems, float(record["seconds"]))


def _positive(value: Any) -> float:
    number = float(value)
    if not 0 < number < float("inf"):
        raise ValueError(f"{value!r} is no time and no energy")
    return number
