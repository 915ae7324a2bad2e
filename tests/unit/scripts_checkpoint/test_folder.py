from __future__ import annotations

from pathlib import Path

import pytest
from checkpoint.errors import Refused
from checkpoint.folder import whole_folder


def make(target: Path, text: str = "new", *, replace: bool = False) -> None:
    with whole_folder(target, replace=replace) as folder:
        (folder / "config.json").write_text(text)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A checkpoint that is there already."""
    target = tmp_path / "made"
    target.mkdir()
    (target / "config.json").write_text("old")
    (target / "model.safetensors").write_text("old weights")
    return target


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_is_not_there_before_the_end(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "made"
    with whole_folder(target, replace=False) as folder:
        (folder / "config.json").write_text("new")
        assert not target.exists()
        assert folder.parent == target.parent
    assert names(target.parent) == ["made"]
    assert names(target) == ["config.json"]


@pytest.mark.parametrize("failure", [RuntimeError, OSError, KeyboardInterrupt, SystemExit])
def test_whatever_goes_wrong_leaves_nothing(failure: type[BaseException], tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "made", replace=False) as folder:
            (folder / "model.safetensors").write_text("half")
            raise failure

    with pytest.raises(failure):
        fail()
    assert names(tmp_path) == []


def test_a_failure_leaves_the_old_checkpoint_as_it_was(old: Path) -> None:
    def fail() -> None:
        with whole_folder(old, replace=True):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(old.parent) == ["made"]
    assert (old / "config.json").read_text() == "old"


def test_an_old_checkpoint_is_replaced_as_a_whole_where_that_is_asked_for(old: Path) -> None:
    make(old, replace=True)
    assert names(old.parent) == ["made"]
    assert names(old) == ["config.json"]
    assert (old / "config.json").read_text() == "new"


def test_an_old_checkpoint_is_not_replaced_unasked(old: Path) -> None:
    with pytest.raises(Refused, match="exists and is not empty; --force replaces"):
        make(old)
    assert (old / "config.json").read_text() == "old"


def test_what_somebody_else_made_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(Refused, match="not empty"), whole_folder(target, replace=False) as folder:
        (folder / "config.json").write_text("ours")
        target.mkdir()
        (target / "config.json").write_text("theirs")
    assert names(tmp_path) == ["made"]
    assert (target / "config.json").read_text() == "theirs"


def test_an_empty_folder_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    make(tmp_path / "made")
    assert names(tmp_path / "made") == ["config.json"]


def test_a_folder_that_is_no_checkpoint_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(Refused, match=r"holds no config\.json, so it is no checkpoint"):
        make(tmp_path / "home", replace=True)
    assert names(tmp_path / "home") == ["letter.txt"]


def test_a_file_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("a file")
    with pytest.raises(Refused, match="exists and is not a folder"):
        make(tmp_path / "made", replace=True)


def test_a_link_is_not_followed(tmp_path: Path, old: Path) -> None:
    (tmp_path / "link").symlink_to(old)
    with pytest.raises(Refused, match="exists and is not a folder"):
        make(tmp_path / "link", replace=True)
    assert (old / "config.json").read_text() == "old"


def test_others_may_read_what_was_made(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "file").touch()
    with whole_folder(tmp_path / "made", replace=False) as folder:
        (folder / "model.safetensors").touch(mode=0o600)
    made = tmp_path / "made"
    assert made.stat().st_mode == plain.stat().st_mode
    assert (made / "model.safetensors").stat().st_mode == (plain / "file").stat().st_mode
