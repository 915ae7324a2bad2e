"""The registry as its users see it: names in, files and facts out."""

from __future__ import annotations

import builtins
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path

from quorate_registry.catalogue import load_catalogue, nearest_ids
from quorate_registry.checkpoint import CheckpointFacts, folder_bytes, read_checkpoint
from quorate_registry.checkpoint_config import CONFIG_NAME
from quorate_registry.download import Downloader, Progress
from quorate_registry.errors import BrokenFile, ModelNotPresent, NotRemovable, UnknownModel
from quorate_registry.gguf import GgufFacts, read_facts
from quorate_registry.hub import Hub, is_offline, offline_error
from quorate_registry.locate import kind_of, locate, path_of
from quorate_registry.manifest import FileKind, HubSource, Manifest, PackageSource, RemoteSource
from quorate_registry.manifest_toml import ID_PATTERN
from quorate_registry.shards import names, siblings
from quorate_registry.store import Store, default_home
from quorate_registry.transfer import Disk
from quorate_registry.verify import VerifyResult, verify, verify_path


class ModelState(StrEnum):
    """Whether the files of a model are on this machine, and whence."""

    PULLED = "pulled"
    """Downloaded by the registry."""
    AVAILABLE = "available"
    """Can be pulled from the hub."""
    INSTALLED = "installed"
    """Part of an installed Python package, or at the path its manifest names."""
    MISSING = "missing"
    """Its package is not installed, or its path is empty."""


@dataclass(frozen=True)
class Entry:
    """A known model and its state on this machine.

    Attributes:
        manifest: what is known about it.
        state: see `ModelState`.
        path: its file or checkpoint folder; None where it is not on this machine.
        size_bytes: size of that file, or of all files in that folder; None where nobody has
            published it.
        kind: what its files are.
    """

    manifest: Manifest
    state: ModelState
    path: Path | None
    size_bytes: int | None
    kind: FileKind


@dataclass(frozen=True)
class ResolvedModel:
    """A name turned into a file or folder.

    Attributes:
        id: registry id, or the lower-case stem of a path.
        path: a GGUF file or a checkpoint folder that exists.
        manifest: None for a path.
        kind: what the path is.
    """

    id: str
    path: Path
    manifest: Manifest | None
    kind: FileKind


def _no_progress(done_bytes: int, total_bytes: int) -> None:
    """The observer of those who do not look."""


class Registry:
    """All models that can be named on this machine.

    Args:
        home: where pulled models and own manifests live; default as `store.default_home` says.
        engines: what manifests may name as their engine, and the kind of files that each runs;
            None lets them name anything.
        hub: where models come from.
        disk: where they go.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        engines: Mapping[str, FileKind] | None = None,
        hub: Hub | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._engines = engines
        self._store = Store(default_home() if home is None else home)
        self._downloader = Downloader(self._store, hub or Hub(), disk or Disk())

    @property
    def home(self) -> Path:
        """Folder of pulled models and own manifests; may be absent."""
        return self._store.home

    def list(self) -> builtins.list[Entry]:
        """Every known model, in alphabetical order.

        Raises:
            ManifestError: a manifest is broken.
        """
        return [self._entry(manifest) for manifest in self._manifests.values()]

    def get(self, model_id: str) -> Entry:
        """One known model.

        Raises:
            UnknownModel: with the nearest ids.
            ManifestError: a manifest is broken.
        """
        return self._entry(self._manifest(model_id))

    def resolve(self, name_or_path: str) -> ResolvedModel:
        """Turn a registry id, or the path of a GGUF file or checkpoint folder, into a file.

        A name with a slash, or one that ends with ``.gguf``, is a path. Nothing is read.

        Raises:
            UnknownModel: with the nearest ids.
            ModelNotPresent: the file is not on this machine; says how to get it.
            BrokenFile: the path is neither a file nor a checkpoint folder.
            ManifestError: a manifest is broken.
        """
        if not is_path(name_or_path):
            manifest = self._manifest(name_or_path)
            located = path_of(manifest, self._store)
            return ResolvedModel(manifest.id, located, manifest, kind_of(manifest, located))
        path = _expanded(name_or_path)
        if path is None:
            raise ModelNotPresent(name_or_path, "does not exist; check the path")
        kind = kind_of(None, path)
        if kind is not FileKind.CHECKPOINT:
            if not path.is_file():
                raise BrokenFile(path, "is neither a file nor a folder")
            return ResolvedModel(path.stem.lower(), path, None, kind)
        if not (path / CONFIG_NAME).is_file():
            raise BrokenFile(path, "is a folder without config.json, so no model checkpoint")
        return ResolvedModel(path.resolve().name.lower(), path, None, kind)

    def kind(self, name_or_path: str) -> FileKind:
        """What the files of a model are, which need not be on this machine.

        Raises:
            UnknownModel: with the nearest ids.
            ManifestError: a manifest is broken.
        """
        if not is_path(name_or_path):
            return self.get(name_or_path).kind
        return kind_of(None, _expanded(name_or_path))

    def pull(
        self, model_id: str, on_progress: Progress = _no_progress, *, offline: bool = False
    ) -> Path:
        """Make sure the file or checkpoint of a model is on this machine.

        A model that was pulled before is not looked up again: its branch stays pinned to the
        commit of the first pull until it is removed.

        Args:
            model_id: registry id.
            on_progress: called with bytes done and bytes in all; an exception from it stops the
                pull and keeps what has arrived.
            offline: never touch the network; ``HF_HUB_OFFLINE`` asks for the same.

        Raises:
            RegistryError: `UnknownModel`, `ModelNotPresent`, `Offline`, and all that
                `download.Downloader.fetch` raises.
        """
        manifest = self._manifest(model_id)
        source = manifest.source
        path = locate(manifest, self._store)
        if path is not None:
            return path
        if not isinstance(source, RemoteSource):
            return path_of(manifest, self._store)
        if offline or is_offline():
            raise offline_error(source)
        return self._downloader.fetch(manifest.id, source, on_progress)

    def inspect(self, name_or_path: str) -> GgufFacts | CheckpointFacts:
        """Facts from the headers of a model's files; no weight is loaded.

        Raises:
            BrokenFile: no sound GGUF file or checkpoint.
            RegistryError: as `resolve`.
        """
        path = self.resolve(name_or_path).path
        return read_checkpoint(path) if path.is_dir() else read_facts(path)

    def verify(self, name_or_path: str) -> VerifyResult:
        """Check sizes, SHA-256 and structure of a model's file or checkpoint.

        Raises:
            BrokenFile: wrong files, size or structure.
            ChecksumMismatch: wrong content.
            RegistryError: as `resolve`.
        """
        resolved = self.resolve(name_or_path)
        if resolved.manifest is None:
            return verify_path(resolved.id, resolved.path)
        return verify(resolved.manifest, self._store)

    def remove(self, model_id: str) -> int:
        """Delete what pulls of a model have written, unfinished downloads included.

        Works as well for a pulled model whose manifest is gone.

        Returns:
            Bytes freed.

        Raises:
            UnknownModel: nothing of this name is known or pulled.
            ModelNotPresent: there is nothing to delete.
            NotRemovable: the file was not put there by a pull.
        """
        if ID_PATTERN.fullmatch(model_id) and (freed := self._store.remove(model_id)):
            return freed
        source = self._manifest(model_id).source
        if isinstance(source, PackageSource):
            raise NotRemovable(model_id, f"it belongs to the Python package {source.package}")
        if not isinstance(source, RemoteSource):
            raise NotRemovable(model_id, f"its manifest names {source.path}, which is not ours")
        raise ModelNotPresent(model_id, "is not pulled: there is nothing to remove")

    @cached_property
    def _manifests(self) -> Mapping[str, Manifest]:
        return load_catalogue(self._store.manifests_folder, self._engines)

    def _manifest(self, model_id: str) -> Manifest:
        manifest = self._manifests.get(model_id)
        if manifest is None:
            raise UnknownModel(model_id, nearest_ids(model_id, self._manifests), _hint(model_id))
        return manifest

    def _entry(self, manifest: Manifest) -> Entry:
        path = locate(manifest, self._store)
        from_hub = isinstance(manifest.source, RemoteSource)
        if path is None:
            state = ModelState.AVAILABLE if from_hub else ModelState.MISSING
        else:
            state = ModelState.PULLED if from_hub else ModelState.INSTALLED
        return Entry(manifest, state, path, _size(manifest, path), kind_of(manifest, path))


def is_path(name: str) -> bool:
    """Whether a model name is a path rather than a registry id."""
    return "/" in name or name.endswith(".gguf")


def _expanded(name: str) -> Path | None:
    """A path that exists, or None."""
    try:
        path = Path(name).expanduser()
        return path if path.exists() else None
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelNotPresent(name, f"is not a usable path: {error}") from error


def _hint(name: str) -> str:
    if re.fullmatch(r"[\w.-]+", name, re.ASCII) and Path(name).exists():
        return f"to use the file or folder of this name, write ./{name}"
    return ""


def _size(manifest: Manifest, path: Path | None) -> int | None:
    if path is not None and path.is_dir():
        return folder_bytes(path)
    if path is not None:
        return sum(file.stat().st_size for file in siblings(path) if file.exists())
    source = manifest.source
    # What a manifest says of a model that is split is said of the part that it names.
    whole = isinstance(source, HubSource) and not names(source.file)
    return source.size_bytes if isinstance(source, HubSource) and whole else None
