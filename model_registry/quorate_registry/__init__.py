"""Manifests, catalogue, downloads and facts of open-weight model files and checkpoints.

The registry lies below the whole of ``quorate`` and knows nothing of it: it turns the name of a
model into a file or folder on this machine. Only ``quorate.app`` and ``quorate.cli`` use it.
"""

from __future__ import annotations

from quorate_registry.checkpoint import CheckpointFacts
from quorate_registry.errors import (
    BrokenFile,
    ChecksumMismatch,
    DownloadFailed,
    Interrupted,
    ManifestError,
    ModelNotPresent,
    NoHome,
    NotEnoughSpace,
    NotRemovable,
    Offline,
    RegistryError,
    StoreUnusable,
    UnknownModel,
)
from quorate_registry.gguf import GgufFacts
from quorate_registry.manifest import (
    FileKind,
    HubSource,
    Manifest,
    PackageSource,
    PathSource,
    SnapshotSource,
)
from quorate_registry.registry import Entry, ModelState, Registry, ResolvedModel
from quorate_registry.verify import VerifyResult

__all__ = [
    "BrokenFile",
    "CheckpointFacts",
    "ChecksumMismatch",
    "DownloadFailed",
    "Entry",
    "FileKind",
    "GgufFacts",
    "HubSource",
    "Interrupted",
    "Manifest",
    "ManifestError",
    "ModelNotPresent",
    "ModelState",
    "NoHome",
    "NotEnoughSpace",
    "NotRemovable",
    "Offline",
    "PackageSource",
    "PathSource",
    "Registry",
    "RegistryError",
    "ResolvedModel",
    "SnapshotSource",
    "StoreUnusable",
    "UnknownModel",
    "VerifyResult",
]
