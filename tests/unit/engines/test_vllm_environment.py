from __future__ import annotations

import os
from pathlib import Path

import pytest

from quorate.engines.registry import process_environment
from quorate.engines.vllm import environment


def test_the_openmp_library_stands_before_what_is_loaded_already(tmp_path: Path) -> None:
    library = tmp_path / "libiomp5.so"
    library.touch()
    assert environment.of_the_process({}, library) == {"LD_PRELOAD": str(library)}
    with_others = environment.of_the_process({"LD_PRELOAD": "/lib/a.so"}, library)
    assert with_others == {"LD_PRELOAD": f"{library}:/lib/a.so"}


def test_a_library_that_was_chosen_outside_stays(tmp_path: Path) -> None:
    library = tmp_path / "libiomp5.so"
    library.touch()
    assert environment.of_the_process({"LD_PRELOAD": "/opt/libiomp5.so"}, library) == {}


def test_without_the_library_nothing_is_set(tmp_path: Path) -> None:
    assert environment.of_the_process({"LD_PRELOAD": "/a.so"}, tmp_path / "none.so") == {}


@pytest.mark.parametrize("engine", ["llama_cpp", "scripted", "unknown"])
def test_other_engines_need_nothing(engine: str) -> None:
    assert process_environment(engine, {}) == {}


def test_the_choices_of_the_user_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"VLLM_LOGGING_LEVEL": "DEBUG", "DO_NOT_TRACK": "0"})
    environment.prepare()
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"
    # What would call home is not for choosing.
    assert os.environ["DO_NOT_TRACK"] == "1"
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"


def test_a_cache_in_whole_gigabytes_does_not_override_the_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "environ", {"VLLM_CPU_KVCACHE_SPACE": "4"})
    environment.prepare()
    assert "VLLM_CPU_KVCACHE_SPACE" not in os.environ
