from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from checkpoint.__main__ import main as convert
from checkpoint.errors import Refused
from checkpoint.rows import TEXTS, Reference, Rows, reference_of
from checkpoint.verify import agreement, divergence, main

from support.gguf_files import smollm2, stories260k
from support.terminal import Capture

BOTH_SIDES = all(importlib.util.find_spec(name) for name in ("torch", "transformers", "llama_cpp"))


def rows(*distributions: Sequence[float]) -> Rows:
    with np.errstate(divide="ignore"):
        return np.log(np.array(distributions, dtype=np.float32))


def test_the_divergence_is_that_of_the_textbook() -> None:
    found = divergence(rows([0.5, 0.5], [0.9, 0.1]), rows([0.25, 0.75], [0.9, 0.1]))
    expected = 0.5 * math.log(0.5 / 0.25) + 0.5 * math.log(0.5 / 0.75)
    assert found == pytest.approx([expected, 0.0], abs=1e-7)


def test_what_the_reference_rules_out_adds_nothing() -> None:
    found = divergence(rows([1.0, 0.0]), rows([0.5, 0.5]))
    assert found == pytest.approx([math.log(2)])
    assert divergence(rows([1.0, 0.0]), rows([1.0, 0.0])).tolist() == [0.0]


def test_rows_of_another_vocabulary_are_refused() -> None:
    with pytest.raises(Refused, match="has 2 tokens and the checkpoint 3"):
        divergence(rows([0.5, 0.5]), rows([0.5, 0.25, 0.25]))


def test_the_worst_position_and_the_share_of_equal_choices_are_found() -> None:
    ids = tuple((index, index) for index in range(len(TEXTS)))
    alike = rows([0.6, 0.4], [0.7, 0.3])
    reference = Reference(TEXTS, ids, (alike,) * len(TEXTS))

    def log_probs(tokens: Sequence[int]) -> Rows:
        return rows([0.6, 0.4], [0.2, 0.8]) if tokens[0] == 4 else alike

    def encode(text: str) -> list[int]:
        index = TEXTS.index(text)
        return [index, index] if index else [99]

    found = agreement(reference, encode, log_probs)
    worst = 0.7 * math.log(0.7 / 0.2) + 0.3 * math.log(0.3 / 0.8)
    assert (found.texts, found.texts_split_alike, found.positions) == (6, 5, 12)
    assert (found.worst_text, found.worst_position) == (4, 1)
    assert found.worst_kl_nats == pytest.approx(worst, rel=1e-5)
    assert found.mean_kl_nats == pytest.approx(worst / 12, rel=1e-5)
    assert found.top_1_agreement == pytest.approx(11 / 12)


@pytest.fixture(scope="module")
def stories_reference() -> Reference:
    return reference_of(stories260k())


def test_a_reference_holds_distributions_after_every_token(stories_reference: Reference) -> None:
    assert len(stories_reference.ids) == len(TEXTS)
    for ids, found in zip(stories_reference.ids, stories_reference.rows, strict=True):
        assert ids[0] == 1
        assert found.shape == (len(ids), 512)
        assert np.exp(found.astype(np.float64)).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_a_reference_comes_back_as_it_was_written(
    stories_reference: Reference, tmp_path: Path
) -> None:
    stories_reference.save(tmp_path / "rows.npz")
    loaded = Reference.load(tmp_path / "rows.npz")
    assert (loaded.texts, loaded.ids) == (TEXTS, stories_reference.ids)
    assert all(map(np.array_equal, loaded.rows, stories_reference.rows))


def test_the_command_keeps_the_reference(
    stories_reference: Reference, tmp_path: Path, capsys: Capture
) -> None:
    path = tmp_path / "rows.npz"
    assert main([str(stories260k()), "--write-reference", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: llama.cpp's side of {stories260k()}\n"
    assert Reference.load(path).ids == stories_reference.ids


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 broken"])
def test_a_broken_reference_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "rows.npz"
    path.write_bytes(content)
    with pytest.raises(Refused, match=r"rows\.npz is no file of --write-reference"):
        Reference.load(path)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["absent.gguf", "absent"], "absent is no checkpoint: it holds no config.json"),
        (["absent.gguf", "--write-reference", "rows.npz"], "llama.cpp cannot load absent.gguf"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    arguments: list[str],
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert capsys.readouterr().err == f"checkpoint_from_gguf --verify: {line}\n"


@pytest.mark.skipif(BOTH_SIDES, reason="this interpreter has PyTorch")
def test_without_pytorch_it_says_how_to_compare_all_the_same(
    tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert main([str(stories260k()), str(tmp_path)]) == 1
    assert "--write-reference" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [[], ["a.gguf"], ["a", "b", "c"], ["a", "b", "--reference", "r"], ["--write-reference", "r"]],
)
def test_misuse_is_told_with_the_usage(arguments: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("usage: checkpoint_from_gguf --verify")


def compared(source: Path, dtype: str, folder: Path, capsys: Capture) -> dict[str, float]:
    assert convert([str(source), str(folder), "--dtype", dtype]) == 0
    capsys.readouterr()
    assert main([str(source), str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.mark.vllm
def test_the_checkpoint_of_stories260k_computes_what_llama_cpp_computes(
    tmp_path: Path, capsys: Capture
) -> None:
    found = compared(stories260k(), "f32", tmp_path / "made", capsys)
    assert found["texts_split_alike"] == 6
    assert found["worst_kl_nats"] < 1e-3
    assert found["top_1_agreement"] > 0.99


@pytest.mark.vllm
@pytest.mark.demo_model
def test_the_checkpoint_of_smollm2_is_as_near_as_rounding_allows(
    tmp_path: Path, capsys: Capture
) -> None:
    """llama.cpp rounds activations to 8 bits where weights have 4, which bounds what can be had."""
    found = compared(smollm2(), "bf16", tmp_path / "made", capsys)
    assert found["texts_split_alike"] == 6
    assert found["mean_kl_nats"] < 0.02
    assert found["worst_kl_nats"] < 0.1
    assert found["top_1_agreement"] > 0.9
