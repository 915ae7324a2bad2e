from __future__ import annotations

import io
from pathlib import Path

import pytest

from quorate.cli.inputs import read_prompt, read_text, read_tools
from quorate.errors import SettingsError


def test_an_empty_standard_input_is_no_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b" \n")))
    with pytest.raises(SettingsError, match="standard input is empty"):
        read_prompt("-")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"ab\xff", "is not UTF-8 text: byte 2 is 0xff"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_text_is_refused(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=told):
        read_text(str(path))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Is a directory"):
        read_text(str(tmp_path))


def test_standard_input_is_read_for_a_dash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("é\n".encode())))
    assert read_text("-") == "é\n".encode()


def test_tools_are_a_list_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "tools.json"
    path.write_text('[{"name": "time"}, {"type": "function", "function": {"name": "date"}}]')
    assert read_tools(str(path)) == [
        {"name": "time"},
        {"type": "function", "function": {"name": "date"}},
    ]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty; give a list of tools"),
        ('[{"name": "time"}', "is no JSON: Expecting ',' delimiter"),
        ('{"name": "time"}', "is no JSON list; give a list of tools"),
        ("[" * 100_000, "is nested too deep"),
    ],
)
def test_what_is_no_list_of_tools_is_refused(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "tools.json"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_tools(str(path))
    assert str(caught.value).startswith(f"{path}: {told}")
