"""What a GGUF file's header says against loading it; nothing is loaded here."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quorate.engines.llama_cpp.gguf_header import Items, read_header
from quorate.engines.llama_cpp.header import check_file
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.registry import find_engine
from quorate.errors import ModelUnusable
from support.gguf_files import stories260k
from support.tiny_gguf import CONTEXT, WIDTH, tiny_model, tiny_tensors, tokens

OPTIONS = LlamaCppOptions()


def refusal(path: Path, options: LlamaCppOptions = OPTIONS) -> str:
    with pytest.raises(ModelUnusable) as caught:
        check_file(str(path), options)
    assert caught.value.subject == path.name
    assert "\n" not in caught.value.message
    return caught.value.problem


def test_it_is_read_without_the_native_library_and_through_the_registration(tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "m.gguf", changed={"llama.pooling_type": 1})
    program = (
        "import sys; from quorate.engines.registry import find_engine\n"
        "from quorate.errors import ModelUnusable\n"
        f"try: find_engine('llama_cpp').check({str(path)!r}, {{}})\n"
        "except ModelUnusable as error: print(error.problem)\n"
        "assert 'llama_cpp' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("it is an embedding model (pooling_type is mean)"), done.stderr


def test_keys_and_shapes_are_those_of_the_file(tmp_path: Path) -> None:
    header = read_header(str(tiny_model(tmp_path / "m.gguf")), "m")
    assert header.whole
    assert header.architecture == "llama"
    assert header.own("context_length") == CONTEXT
    assert header.metadata["tokenizer.ggml.tokens"] == Items(len(tokens()))
    assert header.own("rope.freq_base") == 10_000.0
    assert header.metadata["tokenizer.ggml.add_bos_token"] is False
    assert header.tensors["token_embd.weight"] == (WIDTH, len(tokens()))
    assert len(header.tensors) == len(tiny_tensors())


def test_decoders_pass(tmp_path: Path) -> None:
    check_file(str(stories260k()), OPTIONS)
    find_engine("llama_cpp").check(str(tiny_model(tmp_path / "m.gguf")), {"sessions": 2})
    check_file(str(tiny_model(tmp_path / "n.gguf", changed={"llama.pooling_type": 0})), OPTIONS)


@pytest.mark.parametrize(
    ("architecture", "changed", "reason"),
    [
        ("llama", {"llama.attention.causal": False}, "reads text in both directions"),
        ("llama", {"llama.pooling_type": 3}, r"embedding model \(pooling_type is last token\)"),
        ("qwen3", {"qwen3.pooling_type": 4}, "classifier or reranker"),
        ("llama", {"llama.classifier.output_labels": ["bad", "good"]}, "classifier or reranker"),
        ("bert", {}, r"it is an encoder \('bert'\)"),
        ("nomic-bert-moe", {}, "it is an encoder"),
        ("jina-bert-v2", {}, "it is an encoder"),
        ("modern-bert", {}, "it is an encoder"),
        ("t5", {}, "has an encoder"),
        ("t5encoder", {}, "it is an encoder"),
        ("gemma-embedding", {}, "it is an embedding model"),
        ("llada", {}, "diffusion"),
        ("clip", {"general.type": "mmproj"}, "projector of a model that sees or hears"),
        ("llama", {"general.type": "adapter", "adapter.type": "lora"}, "adapter"),
        ("llama", {"adapter.type": "lora"}, "adapter"),
        ("llama", {"general.type": "imatrix"}, "importance matrix"),
        ("llama", {"general.type": "teapot"}, "its general.type is 'teapot'"),
    ],
)
def test_what_is_no_causal_decoder_is_refused(
    tmp_path: Path, architecture: str, changed: dict[str, Any], reason: str
) -> None:
    path = tiny_model(tmp_path / "m.gguf", architecture=architecture, changed=changed)
    assert re.search(reason, refusal(path))


def test_tensors_of_a_classifier_and_missing_outputs_are_refused(tmp_path: Path) -> None:
    tensors = tiny_tensors()
    scored = {**tensors, "cls.output.weight": tensors["blk.0.attn_q.weight"]}
    assert "reward model" in refusal(tiny_model(tmp_path / "a.gguf", tensors=scored))
    del tensors["token_embd.weight"]
    assert "neither an output" in refusal(tiny_model(tmp_path / "b.gguf", tensors=tensors))
    assert "vocabulary without weights" in refusal(tiny_model(tmp_path / "c.gguf", tensors={}))


def part(folder: Path, number: int, of: int = 3, name: str = "m") -> Path:
    changed = {"split.no": number - 1, "split.count": of, "split.tensors.count": 9}
    tensors = {} if number == 1 else tiny_tensors()
    path = folder / f"{name}-{number:05}-of-{of:05}.gguf"
    return tiny_model(path, changed=changed, tensors=tensors)


def test_the_first_of_several_parts_stands_for_them_all(tmp_path: Path) -> None:
    first, second, third = (part(tmp_path, number) for number in (1, 2, 3))
    check_file(str(first), OPTIONS)
    assert refusal(second).endswith(f"it is part 2 of 3 of a model; name the first, {first.name}")
    third.unlink()
    assert f"of its 3 parts {third.name} is missing in {tmp_path}" in refusal(first)
    second.unlink()
    assert f"{second.name} and 1 more is missing" in refusal(first)


def test_a_part_under_another_name_is_refused(tmp_path: Path) -> None:
    renamed = part(tmp_path, 1).rename(tmp_path / "model.gguf")
    assert "must keep its name, NAME-00001-of-00003.gguf" in refusal(renamed)


def test_links_to_parts_are_followed_by_their_names(tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    for number in (1, 2, 3):
        file = part(blobs, number)
        (snapshot / file.name).symlink_to(file.rename(blobs / f"{number}"))
    check_file(str(snapshot / "m-00001-of-00003.gguf"), OPTIONS)


def test_a_context_that_the_model_does_not_reach_is_refused_before_it_is_loaded(
    tmp_path: Path,
) -> None:
    path = tiny_model(tmp_path / "m.gguf")
    check_file(str(path), LlamaCppOptions(context_length=CONTEXT))
    problem = refusal(path, LlamaCppOptions(context_length=CONTEXT + 1))
    assert f"context_length is {CONTEXT + 1}, and the model reaches {CONTEXT} tokens" in problem


@cache
def whole_header(folder: Path) -> bytes:
    return tiny_model(folder / "whole.gguf").read_bytes()[:8192]


@settings(deadline=None)
@given(st.data())
def test_a_damaged_header_is_refused_or_left_to_the_loader(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp()
    whole, path = whole_header(folder), folder / "damaged.gguf"
    start = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.binary(max_size=12))
    length = data.draw(st.sampled_from((start + len(damage), len(whole))))
    path.write_bytes((whole[:start] + damage + whole[start + len(damage) :])[:length])
    try:
        header = read_header(str(path), "m")
    except ModelUnusable as error:
        assert str(path) in error.message
    else:
        assert isinstance(header.whole, bool)
