"""Facts and sums of GGUF models that were split into several files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from quorate_registry import Registry
from quorate_registry.errors import BrokenFile
from quorate_registry.gguf import read_facts
from support.model_headers import refusal
from support.split_gguf import part


def test_the_first_part_tells_the_facts_of_all(tmp_path: Path) -> None:
    files = [part(tmp_path, number) for number in (1, 2, 3)]
    facts = read_facts(files[0])
    assert facts.files == tuple(files)
    assert (facts.parameters, facts.tensor_bytes) == (16, 64)
    assert facts.file_bytes == sum(file.stat().st_size for file in files)
    result = Registry(tmp_path / "home").verify(str(files[0]))
    lines = "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files
    )
    assert (result.files, result.sha256) == (3, hashlib.sha256(lines.encode()).hexdigest())


def test_another_part_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    first, second = part(tmp_path, 1), part(tmp_path, 2)
    assert refusal(read_facts, second).reason == f"is part 2 of 3; name the first, {first.name}"


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    first = part(tmp_path, 1)
    part(tmp_path, 3)
    reason = refusal(read_facts, first).reason
    assert reason == "is split into 3 files, of which m-00002-of-00003.gguf is missing"


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    first, second, _ = (part(tmp_path, number) for number in (1, 2, 3))
    second.write_bytes(second.read_bytes()[:-8])
    with pytest.raises(BrokenFile, match=f"{second.name}: is truncated"):
        read_facts(first)


def test_a_part_that_was_renamed_is_refused(tmp_path: Path) -> None:
    path = part(tmp_path, 1).rename(tmp_path / "m.gguf")
    assert "must keep its name, NAME-00001-of-00003.gguf" in refusal(read_facts, path).reason
