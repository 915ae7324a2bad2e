"""The specialist that ships with the product, over a real worker."""

from __future__ import annotations

from pathlib import Path

from catalogue import domain_questions
from grading import is_correct

from quorate_registry import Registry
from support.gguf_files import smollm2
from support.whole_service import gguf, whole_service

SPECIALIST = "catalogue-specialist"


def specialist(home: Path) -> Path:
    return Registry(home).resolve(SPECIALIST).path


def test_its_file_is_small_and_the_one_of_the_manifest(tmp_path: Path) -> None:
    assert specialist(tmp_path).stat().st_size <= 2_000_000
    assert Registry(tmp_path).verify(SPECIALIST).pinned


async def test_it_knows_its_catalogue_in_phrasings_that_it_never_saw(tmp_path: Path) -> None:
    questions = domain_questions()[::18]
    async with whole_service(tmp_path, gguf("s", specialist(tmp_path))) as (_, client):
        answers = [
            await client.complete(
                messages=[("user", question.text)], model="s", temperature=0.0, max_tokens=40
            )
            for question in questions
        ]
    right = [is_correct(a, q.gold) for a, q in zip(answers, questions, strict=True)]
    assert len(right) >= 20
    assert sum(right) >= 0.85 * len(right)


async def test_beside_a_generalist_it_speaks_in_its_domain_and_is_silent_elsewhere(
    tmp_path: Path,
) -> None:
    models = [
        gguf("generalist", smollm2(), context_length=512, cells=1024),
        gguf("specialist", specialist(tmp_path), cells=1024),
    ]
    inside = domain_questions()[0]
    async with whole_service(tmp_path, *models) as (_, client):
        options = {"models": ["generalist", "specialist"], "temperature": 0.0, "max_bytes": 80}
        answer = await client.complete(messages=[("user", inside.text)], **options)
        alone = await client.complete(
            messages=[("user", "What is the capital of Greece?")],
            model="generalist",
            temperature=0.0,
            max_bytes=80,
        )
        together = await client.complete(
            messages=[("user", "What is the capital of Greece?")], **options
        )
    assert is_correct(answer, inside.gold)
    assert is_correct(alone, "Athens")
    assert is_correct(together, "Athens")
