from __future__ import annotations

import dataclasses
import importlib.metadata
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from llama_cpp import llama_cpp as native

from quorate.engines.llama_cpp import loading
from quorate.engines.llama_cpp.loading import interleaved_prefill_tokens, repacks
from quorate.engines.llama_cpp.model import load
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.scheduler.contract import Chunk
from quorate.engines.worker_log import warning_in
from quorate.errors import ModelUnusable
from support.gguf_files import BREAKAGES, loaded, stories260k, write_broken
from support.tiny_gguf import tiny_bert, tiny_metadata, tiny_model, tiny_tensors

OPTIONS = LlamaCppOptions(sessions=2, batch_tokens=64)


def ignore(share: float) -> None:
    pass


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_file_is_refused_in_one_line_with_its_path(kind, tmp_path):
    path = write_broken(kind, tmp_path, stories260k())
    with pytest.raises(ModelUnusable) as caught:
        load(str(path), OPTIONS, 1, ignore)
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert "gives no reason" not in caught.value.message


def test_an_unknown_architecture_is_named(tmp_path):
    path = write_broken("unknown_architecture", tmp_path, stories260k())
    with pytest.raises(ModelUnusable, match="unknown model architecture: 'zlama'"):
        load(str(path), OPTIONS, 1, ignore)


@pytest.mark.parametrize(
    ("name", "problem"), [("absent.gguf", "No such file or directory"), ("", "Is a directory")]
)
def test_what_is_no_file_is_refused(name, problem, tmp_path):
    with pytest.raises(ModelUnusable, match=problem):
        load(str(tmp_path / name), OPTIONS, 1, ignore)


def test_a_kv_cache_that_no_memory_holds_is_refused():
    options = dataclasses.replace(OPTIONS, cells=2**30, kv_type_k="f32", kv_type_v="f32")
    with pytest.raises(ModelUnusable, match=r"1073741824 KV cells take .* GB; set cells"):
        load(str(stories260k()), options, 1, ignore)


def test_a_worker_imports_the_native_library_alone_and_the_package_stays_whole():
    script = (
        "import sys; from quorate.engines.registry import find_engine\n"
        "from quorate.errors import ModelUnusable\n"
        "try: find_engine('llama_cpp').load('absent.gguf', {}, 1, print)\n"
        "except ModelUnusable: print([name for name in sys.modules if 'llama_cpp.' in name])\n"
        "import llama_cpp; from quorate.engines.llama_cpp.model import native\n"
        "print(llama_cpp.Llama.__name__, llama_cpp.llama_cpp is native)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules, whole = ran.stdout.splitlines()
    assert "llama_cpp.llama_cpp" in modules
    assert "'llama_cpp.llama'" not in modules
    assert whole == "Llama True"


def test_progress_ends_at_one():
    shares: list[float] = []
    load(str(stories260k()), OPTIONS, 1, shares.append).close()
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_an_exception_in_progress_ends_the_load():
    class GivenUp(Exception):
        pass

    def give_up(share: float) -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        load(str(stories260k()), OPTIONS, 1, give_up)


def test_facts_describe_the_model():
    with loaded(stories260k(), sessions=2, batch_tokens=64) as model:
        facts = model.facts
    assert facts.description == "llama 293K F32"
    assert facts.context_length == 512
    assert facts.sessions == 2
    assert facts.kv_tokens == 512
    can = facts.capabilities
    assert (can.chat, can.fork, can.rewind) == (False, True, True)
    # 5 layers, 4 KV heads of width 8, K and V of 2 bytes.
    assert facts.memory_bytes - 5 * 4 * 8 * 2 * 2 * 512 == 1_171_200


def test_a_context_beyond_the_training_is_refused_and_with_scaled_rope_obeyed():
    with pytest.raises(ModelUnusable, match=r"is 1024, .* reaches 512 tokens.*rope_freq_scale"):
        load(str(stories260k()), dataclasses.replace(OPTIONS, context_length=1024), 1, ignore)
    options = {"sessions": 2, "context_length": 1024, "rope_freq_scale": 0.5}
    with loaded(stories260k(), **options) as model:
        assert (model.facts.context_length, model.facts.kv_tokens) == (1024, 1024)
        (warning,) = model.facts.warnings
        row = np.empty(len(model.vocabulary), np.float32)
        for position in range(0, 1000, 500):
            model.decode([Chunk(0, position, [5] * 500, row)])
    assert "trained for 512 tokens" in warning
    assert np.exp(row.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    "option",
    [{"gpu_layers": 3}, {"split_mode": "row"}, {"tensor_split": (1.0,)}, {"split_mode": "none"}],
)
def test_what_is_asked_of_gpus_that_no_build_can_use_is_refused(option):
    (name,) = option
    options = dataclasses.replace(OPTIONS, **option)
    with pytest.raises(ModelUnusable, match=f"{name} need a build of llama-cpp-python for GPUs"):
        load(str(stories260k()), options, 1, ignore)


def test_scaled_rope_is_refused_where_there_is_none(monkeypatch):
    none = native.LLAMA_ROPE_TYPE_NONE
    monkeypatch.setattr(native, "llama_model_rope_type", lambda model: none)
    with pytest.raises(ModelUnusable, match="has no RoPE to scale"):
        load(str(stories260k()), dataclasses.replace(OPTIONS, rope_freq_base=1e6), 1, ignore)


def nothing_but(value, *names):
    tensors = tiny_tensors()
    for name in names:
        tensors[name] = np.full_like(tensors[name], value)
    return tensors


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        (nothing_but(0.0, "token_embd.weight"), "every token is as probable as any other"),
        (nothing_but(0.0, "output_norm.weight"), "every token is as probable as any other"),
        (nothing_but(np.nan, "blk.0.ffn_up.weight"), "none that are numbers"),
        (nothing_but(np.inf, "blk.0.attn_v.weight"), "numbers"),
    ],
)
def test_weights_that_give_no_distribution_are_refused(tensors, reason, tmp_path):
    path = tiny_model(tmp_path / "m.gguf", tensors=tensors)
    with pytest.raises(ModelUnusable, match=reason):
        load(str(path), OPTIONS, 1, ignore)


def test_damage_in_one_row_of_the_output_is_noticed(tmp_path):
    tensors = tiny_tensors()
    tensors["output.weight"] = tensors["token_embd.weight"].copy()
    tensors["output.weight"][17, 3] = np.nan
    path = tiny_model(tmp_path / "m.gguf", tensors=tensors)
    with pytest.raises(ModelUnusable, match="logits that are no numbers: its weights are damaged"):
        load(str(path), OPTIONS, 1, ignore)


def test_another_number_of_tokens_than_rows_of_the_output_is_refused(tmp_path):
    few = {name: value[:200] for name, value in tiny_metadata().items() if isinstance(value, list)}
    few |= {"tokenizer.ggml.merges": ["i n"], "tokenizer.ggml.eos_token_id": 5}
    path = tiny_model(tmp_path / "m.gguf", changed=few)
    with pytest.raises(ModelUnusable, match=r"token_embd\.weight.*wrong shape"):
        load(str(path), OPTIONS, 1, ignore)


def test_a_network_that_computes_no_logits_is_refused_whatever_its_header_says(
    monkeypatch, tmp_path
):
    path = tiny_bert(tmp_path / "m.gguf")
    with pytest.raises(ModelUnusable, match="it is an encoder"):
        load(str(path), OPTIONS, 1, ignore)
    monkeypatch.setattr(loading, "check_file", lambda path, options: None)
    with pytest.raises(ModelUnusable, match="it computes no logits"):
        load(str(path), OPTIONS, 1, ignore)


def test_a_model_that_loads_leaves_nothing_of_its_first_token_behind(tmp_path):
    with loaded(tiny_model(tmp_path / "m.gguf"), sessions=2) as model:
        rows = np.empty((2, len(model.vocabulary)), np.float32)
        model.decode([Chunk(0, 0, [5, 6], rows[0])])
        model.truncate(0, 0)
        model.decode([Chunk(1, 0, [5, 6], rows[1])])
        assert model.facts.warnings == ()
    assert np.array_equal(rows[0], rows[1])


@pytest.mark.parametrize(
    ("name", "said"), [(None, "names no pre-tokenizer"), ("default", "pre-tokenizer 'default'")]
)
def test_a_file_that_does_not_say_how_text_is_cut_has_a_warning_and_its_own_fingerprint(
    name, said, tmp_path, capfd
):
    with loaded(tiny_model(tmp_path / "good.gguf"), sessions=2) as model:
        good = model.vocabulary
        assert len(model.encode_continuation("123")) == 3
    changed = {"tokenizer.ggml.pre": name}
    with loaded(tiny_model(tmp_path / "m.gguf", changed=changed), sessions=2) as model:
        bad = model.vocabulary
        assert len(model.encode_continuation("123")) == 1
        (warning,) = model.facts.warnings
    assert said in warning
    assert good.pieces == bad.pieces
    assert good.fingerprint != bad.fingerprint
    # And the coordinator hears of it.
    assert warning in filter(None, map(warning_in, capfd.readouterr().err.splitlines()))


def test_two_names_for_one_way_to_cut_have_one_fingerprint(tmp_path):
    prints = []
    for name in ("qwen2", "stablelm2"):
        path = tiny_model(tmp_path / f"{name}.gguf", changed={"tokenizer.ggml.pre": name})
        with loaded(path, sessions=2) as model:
            prints.append(model.vocabulary.fingerprint)
    assert prints[0] == prints[1]


def test_another_order_of_merges_shows_in_the_fingerprint(tmp_path):
    merges = tiny_metadata()["tokenizer.ggml.merges"]
    prints = []
    for order in (merges, merges[::-1]):
        changed = {"tokenizer.ggml.merges": order, "tokenizer.ggml.pre": "gpt-2"}
        with loaded(tiny_model(tmp_path / "m.gguf", changed=changed), sessions=2) as model:
            prints.append(model.vocabulary.fingerprint)
    assert prints[0] != prints[1]


def test_a_pre_tokenizer_that_llama_cpp_does_not_know_is_refused_by_its_name(tmp_path):
    path = tiny_model(tmp_path / "m.gguf", changed={"tokenizer.ggml.pre": "my-own-bpe"})
    with pytest.raises(ModelUnusable, match="unknown pre-tokenizer type: 'my-own-bpe'"):
        load(str(path), OPTIONS, 1, ignore)


AMX = b"CPU : SSE3 = 1 | AVX512 = 1 | AMX_INT8 = 1 | OPENMP = 1 | REPACK = 1 | "
NO_AMX = b"CPU : SSE3 = 1 | AVX2 = 1 | OPENMP = 1 | REPACK = 1 | "
OURS = "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\nBuild: 2nodse_nofp16\n"
FROM_ELSEWHERE = "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n"
ANOTHER_BUILD = FROM_ELSEWHERE + "Build: 2nodse_nofp162\n"


@pytest.mark.parametrize(
    ("kernels", "wheel", "repack", "expected"),
    [
        (AMX, OURS, "auto", True),
        (AMX, FROM_ELSEWHERE, "auto", False),
        (AMX, ANOTHER_BUILD, "auto", False),
        (AMX, None, "auto", False),
        (NO_AMX, OURS, "auto", True),
        (NO_AMX, FROM_ELSEWHERE, "auto", True),
        (AMX, FROM_ELSEWHERE, "on", True),
        (AMX, OURS, "off", False),
        (NO_AMX, FROM_ELSEWHERE, "off", False),
    ],
)
def test_weights_are_repacked_unless_the_build_may_crash(
    monkeypatch, kernels, wheel, repack, expected
):
    monkeypatch.setattr(native, "llama_print_system_info", lambda: kernels)
    installed = SimpleNamespace(read_text={"WHEEL": wheel}.get)
    monkeypatch.setattr(importlib.metadata, "distribution", {"llama-cpp-python": installed}.get)
    assert repacks(dataclasses.replace(OPTIONS, repack=repack)) is expected


@pytest.mark.parametrize(
    ("gpus", "gpu_layers", "expected"),
    [
        (False, -1, 64),
        (False, 99, 64),
        (True, -1, 512),
        (True, 99, 512),
        (True, 31, 512),
        # The output is a layer too.
        (True, 30, 64),
        (True, 1, 64),
        (True, 0, 64),
    ],
)
def test_prompts_are_read_in_larger_chunks_where_gpus_have_all_layers(
    monkeypatch, gpus, gpu_layers, expected
):
    monkeypatch.setattr(native, "llama_supports_gpu_offload", lambda: gpus)
    monkeypatch.setattr(native, "llama_model_n_layer", lambda model: 30)
    options = dataclasses.replace(OPTIONS, gpu_layers=gpu_layers)
    assert interleaved_prefill_tokens(None, options) == expected


def test_closing_twice_is_harmless():
    model = load(str(stories260k()), OPTIONS, 1, ignore)
    model.close()
    model.close()
