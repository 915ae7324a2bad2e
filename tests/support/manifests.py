"""Manifests of the user's own, as the registry finds them at home."""

from __future__ import annotations

import json
from pathlib import Path


def write_manifest(home: Path, model_id: str, *, said: str = "", **source: object) -> None:
    """Writes a manifest with these keys in its table ``source`` and the lines ``said`` above it."""
    head = f'id = "{model_id}"\ndescription = "A tiny model"\nlicence = "MIT"\n{said}\n[source]\n'
    keys = (f"{key} = {json.dumps(value)}\n" for key, value in source.items())
    (home / "models.d").mkdir(parents=True, exist_ok=True)
    (home / "models.d" / f"{model_id}.toml").write_text(head + "".join(keys))
