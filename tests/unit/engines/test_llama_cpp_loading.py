from __future__ import annotations

import dataclasses
import importlib.metadata
import subprocess
import sys
from types import SimpleNamespace

import pytest
from llama_cpp import llama_cpp as native

from quorate.engines.llama_cpp.loading import interleaved_prefill_tokens, repacks
from quorate.engines.llama_cpp.model import load
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.errors import ModelUnusable
from support.gguf_files import BREAKAGES, loaded, stories260k, write_broken

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


def test_a_context_beyond_the_models_own_is_cut_to_it():
    with loaded(stories260k(), sessions=2, context_length=4096) as model:
        assert model.facts.context_length == 512


AMX = b"CPU : SSE3 = 1 | AVX512 = 1 | AMX_INT8 = 1 | OPENMP = 1 | REPACK = 1 | "
NO_AMX = b"CPU : SSE3 = 1 | AVX2 = 1 | OPENMP = 1 | REPACK = 1 | "
OURS = "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\nBuild: 1nodse\n"
FROM_ELSEWHERE = "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n"
ANOTHER_BUILD = FROM_ELSEWHERE + "Build: 1nodse2\n"


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
