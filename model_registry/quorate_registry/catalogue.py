"""Which models exist: the manifests shipped in ``models/``, and the user's own.

The shipped manifests name a branch and no checksum, because a file on the hub may be replaced by
its owner. The first pull pins both: it resolves the branch to a commit, downloads that commit,
and records the commit and the hub's own SHA-256, against which every later check is made.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from quorate_registry.errors import ManifestError
from quorate_registry.manifest import FileKind, Manifest
from quorate_registry.manifest_toml import load_manifest

SHIPPED_MODELS = Path(__file__).parent / "models"

# Comparing takes time with the product of both lengths.
_COMPARED_CHARACTERS = 64


def load_catalogue(
    user_folder: Path, engines: Mapping[str, FileKind] | None = None
) -> dict[str, Manifest]:
    """Read every manifest by id, in alphabetical order; the user's replace shipped ones.

    Args:
        user_folder: folder with further ``*.toml`` manifests; may be absent.
        engines: see `manifest_toml.parse_manifest`.

    Raises:
        ManifestError: a manifest is broken, or two of one folder claim the same id.
    """
    shipped = _read_folder(SHIPPED_MODELS, engines)
    merged = {**shipped, **_read_folder(user_folder, engines)}
    return dict(sorted(merged.items()))


def nearest_ids(name: str, known: Iterable[str]) -> list[str]:
    """Up to three known ids that look like `name`, best first; a long name looks like none."""
    if len(name) > _COMPARED_CHARACTERS:
        return []
    ids = list(known)
    wanted = name.lower()
    containing = [known_id for known_id in ids if wanted and wanted in known_id]
    similar = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.5)
    return list(dict.fromkeys([*similar, *containing]))[:3]


def _read_folder(folder: Path, engines: Mapping[str, FileKind] | None) -> Mapping[str, Manifest]:
    found: dict[str, Manifest] = {}
    origins: dict[str, Path] = {}
    for path in sorted(folder.glob("*.toml")):
        manifest = load_manifest(path, engines)
        if manifest.id in found:
            other = origins[manifest.id].name
            raise ManifestError(path, "id", f"'{manifest.id}' is already taken by {other}")
        found[manifest.id] = manifest
        origins[manifest.id] = path
    return found
