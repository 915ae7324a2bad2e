from __future__ import annotations

from pathlib import Path

import pytest

from quorate_registry.errors import ManifestError
from quorate_registry.manifest import (
    FileKind,
    HubSource,
    Manifest,
    PackageSource,
    PathSource,
    SnapshotSource,
)
from quorate_registry.manifest_toml import load_manifest, parse_manifest

ORIGIN = Path("/manifests/tiny.toml")
HEAD = 'id = "tiny"\ndescription = "A tiny model"\nlicence = "MIT"\n'
HUB = '[source]\nkind = "hub"\nrepo = "someone/tiny"\nfile = "a/tiny.gguf"\n'
SNAPSHOT = '[source]\nkind = "snapshot"\nrepo = "someone/tiny"\n'
ENGINES = {"llama_cpp": FileKind.GGUF, "vllm": FileKind.CHECKPOINT}


def refused(text: str) -> ManifestError:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text, ORIGIN, ENGINES)
    assert str(ORIGIN) in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_full_hub_manifest_is_read() -> None:
    text = (
        HEAD
        + 'engine = "llama_cpp"\ncontext = 2048\ntags = ["chat", "small"]\n'
        + HUB
        + f'revision = "v1"\nsha256 = "{"a" * 64}"\nsize_bytes = 12\n'
    )
    assert parse_manifest(text, ORIGIN, ENGINES) == Manifest(
        id="tiny",
        description="A tiny model",
        licence="MIT",
        engine="llama_cpp",
        context=2048,
        tags=("chat", "small"),
        source=HubSource("someone/tiny", "a/tiny.gguf", "v1", "a" * 64, 12),
    )


def test_what_is_left_out_has_its_default() -> None:
    manifest = parse_manifest(HEAD + HUB, ORIGIN)
    assert manifest.engine == ""
    assert manifest.context is None
    assert manifest.tags == ()
    assert manifest.source == HubSource("someone/tiny", "a/tiny.gguf", "main", None, None)


def test_a_relative_path_counts_from_the_manifest() -> None:
    text = HEAD + '[source]\nkind = "path"\npath = "weights/tiny.gguf"\n'
    assert parse_manifest(text, ORIGIN).source == PathSource(Path("/manifests/weights/tiny.gguf"))


def test_a_package_source_is_read() -> None:
    text = HEAD + '[source]\nkind = "package"\npackage = "pkg"\nfile = "m.gguf"\n'
    assert parse_manifest(text, ORIGIN).source == PackageSource("pkg", "m.gguf")


def test_a_snapshot_is_read() -> None:
    text = HEAD + SNAPSHOT + 'revision = "v1"\nfiles = ["m*", "*.json"]\napproximate_bytes = 9\n'
    manifest = parse_manifest(text, ORIGIN)
    assert manifest.source == SnapshotSource("someone/tiny", "v1", ("m*", "*.json"), 9)
    assert parse_manifest(HEAD + SNAPSHOT, ORIGIN).source == SnapshotSource("someone/tiny")
    assert parse_manifest(HEAD + 'engine = "vllm"\n' + SNAPSHOT, ORIGIN, ENGINES).engine == "vllm"


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('licens = "MIT"\n' + HEAD + HUB, "licens", "nearest known key is 'licence'"),
        (HEAD + HUB + 'revison = "x"\n', "source.revison", "nearest known key is 'revision'"),
        (HEAD + 'context = "8k"\n' + HUB, "context", "must be a whole number, not '8k'"),
        (HEAD + "context = true\n" + HUB, "context", "must be a whole number, not True"),
        (HEAD + "context = 0\n" + HUB, "context", "at least 1"),
        (HEAD + "tags = [1]\n" + HUB, "tags", "list of strings"),
        (HEAD + 'tags = "chat"\n' + HUB, "tags", "list of strings"),
        (HEAD + 'engine = "pytorch"\n' + HUB, "engine", "one of llama_cpp, vllm"),
        (HEAD + 'engine = ""\n' + HUB, "engine", "one of llama_cpp, vllm"),
        (HEAD + 'engine = "llama_cpp"\n' + SNAPSHOT, "engine", "a snapshot needs 'vllm'"),
        (HEAD + SNAPSHOT + 'file = "a"\n', "source.file", "nearest known key is 'files'"),
        (HEAD + SNAPSHOT + f'sha256 = "{"a" * 64}"\n', "source.sha256", "is not known"),
        (HEAD + SNAPSHOT + 'files = "*"\n', "source.files", "list of strings"),
        (HEAD + SNAPSHOT + 'files = ["../*"]\n', "source.files", "inside the repository"),
        (HEAD + SNAPSHOT + 'files = ["/etc/*"]\n', "source.files", "inside the repository"),
        (HEAD + SNAPSHOT + 'files = [".*"]\n', "source.files", "inside the repository"),
        (HEAD + SNAPSHOT + 'files = ["*.bin"]\n', "source.files", "'*.bin' is never fetched"),
        (HEAD + SNAPSHOT + 'files = ["*.py"]\n', "source.files", "'*.py' is never fetched"),
        (HEAD + SNAPSHOT + 'revision = "-x"\n', "source.revision", "commit, tag or branch"),
        (HEAD + SNAPSHOT.replace("someone/", ""), "source.repo", "must be owner/name"),
        (HEAD, "source", "is missing"),
        (HEAD + 'source = "x"\n', "source", "must be a table"),
        (HEAD + '[source]\nrepo = "a/b"\n', "source.kind", "one of hub, snapshot, path, package"),
        (HEAD + HUB.replace("someone/", ""), "source.repo", "must be owner/name"),
        (HEAD + HUB.replace("a/tiny", "../tiny"), "source.file", "inside its source"),
        (HEAD + HUB.replace("a/tiny", "/etc/tiny"), "source.file", "inside its source"),
        (HEAD + HUB.replace("a/tiny.gguf", "a/.lock"), "source.file", "not hidden"),
        (HEAD + HUB + 'sha256 = "abc"\n', "source.sha256", "64 lower-case hexadecimal"),
        (HEAD + HUB + "size_bytes = -1\n", "source.size_bytes", "at least 1"),
        (HEAD + HUB + 'revision = "-x"\n', "source.revision", "commit, tag or branch"),
        (HEAD.replace("tiny", "Tiny!") + HUB, "id", "lower-case letters"),
        (HEAD.replace('"tiny"', '".."') + HUB, "id", "lower-case letters"),
        (HEAD.replace("A tiny", "\\u001b[31m") + HUB, "description", "printable"),
        (HEAD.replace("MIT", "") + HUB, "licence", "must not be empty"),
        (
            HEAD + '[source]\nkind = "package"\npackage = "a.b"\nfile = "m"\n',
            "source.package",
            "top-level",
        ),
    ],
)
def test_a_wrong_key_is_named(text: str, key: str, reason: str) -> None:
    error = refused(text)
    assert error.key == key
    assert reason in error.reason


def test_text_that_is_not_toml_is_refused_with_its_file() -> None:
    assert "is not TOML" in refused("id = ").reason


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="No such file"):
        load_manifest(tmp_path / "absent.toml")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestError, match="not UTF-8"):
        load_manifest(binary)
