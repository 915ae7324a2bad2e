from __future__ import annotations

import pytest

from quorate_registry.repository_paths import (
    DEFAULT_PATTERNS,
    can_match,
    clash,
    is_fetched,
    is_sound,
    matches,
)


@pytest.mark.parametrize("path", ["a.json", "a/b/c.json", "ä ö.txt", "a..b", "x" * 200])
def test_plain_paths_are_sound(path: str) -> None:
    assert is_sound(path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../a.json",
        "a/../b.json",
        "a/..",
        "./a.json",
        "a//b.json",
        "a/",
        ".hidden",
        ".git/config",
        "a\\..\\b.json",
        "a\n.json",
        "a\0.json",
        "\x1b[2J.json",
        "\ud800.json",
        "x" * 201,
        "ä" * 101,
        "/".join("abcdefghi"),
    ],
)
def test_paths_that_could_land_elsewhere_or_hide_are_not(path: str) -> None:
    assert not is_sound(path)


@pytest.mark.parametrize(
    "path", ["m.safetensors", "config.json", "merges.txt", "tokenizer.model", "chat_template.jinja"]
)
def test_what_a_checkpoint_is_made_of_is_fetched(path: str) -> None:
    assert is_fetched(path)


@pytest.mark.parametrize(
    "path",
    ["m.bin", "m.pt", "m.pth", "m.pkl", "m.PY", "m.so", "m.gguf", "LICENSE", "m.safetensors.py"],
)
def test_pickles_programs_and_all_else_are_not(path: str) -> None:
    assert not is_fetched(path)


def test_wildcards_do_not_cross_folders() -> None:
    assert matches("a.json", ["*.json"])
    assert not matches("sub/a.json", ["*.json"])
    assert matches("sub/a.json", ["*/a.json"])
    assert not matches("A.json", ["a.json"])


@pytest.mark.parametrize(
    "path",
    ["model.safetensors", "model-00001-of-00004.safetensors", "tokenizer.json", "vocab.json"],
)
def test_the_usual_files_are_meant_where_nothing_is_said(path: str) -> None:
    assert matches(path, DEFAULT_PATTERNS)


@pytest.mark.parametrize(
    "path", ["consolidated.safetensors", "onnx/model.safetensors", "adapter_config.json"]
)
def test_a_second_copy_of_the_weights_is_not_meant(path: str) -> None:
    assert not matches(path, DEFAULT_PATTERNS)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("*", True), ("m*", True), ("*.json", True), ("*.[jt]*", True), ("*.bin", False)],
)
def test_a_pattern_that_can_fetch_nothing_is_told_apart(pattern: str, expected: bool) -> None:
    assert can_match(pattern) is expected


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a.json", "b.json", "c/a.json"], None),
        (["a.json", "A.json"], "A.json"),
        (["a.json", "a.json"], "a.json"),
        (["a.json", "a.json/b.json"], "a.json/b.json"),
        (["a.json/b.json", "A.JSON"], "A.JSON"),
    ],
)
def test_names_that_one_disk_could_not_hold_together_clash(
    paths: list[str], expected: str | None
) -> None:
    assert clash(paths) == expected
