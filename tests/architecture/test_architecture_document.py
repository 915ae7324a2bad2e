from __future__ import annotations

import tomllib
from pathlib import Path

from support.repository import ROOT, inline_code, read

PACKAGE = ROOT / "runtime" / "quorate"


def rooms(folder: Path) -> set[str]:
    """Packages and modules of a folder, as the document writes them."""
    found = {f"{p}/" for p in folder.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    found |= {str(p) for p in folder.glob("*.py") if not p.stem.startswith("__")}
    return {name.removeprefix(f"{ROOT}/") for name in found}


def test_every_room_of_the_runtime_is_named() -> None:
    assert rooms(PACKAGE) - set(inline_code("ARCHITECTURE.md")) == set()


def test_every_engine_is_named() -> None:
    engines = {name for name in rooms(PACKAGE / "engines") if name.endswith("/")}
    assert len(engines) >= 4
    assert engines - set(inline_code("ARCHITECTURE.md")) == set()


def test_the_order_is_the_one_that_is_enforced() -> None:
    (written,) = (code for code in inline_code("ARCHITECTURE.md") if code.startswith("cli > "))
    contracts = tomllib.loads(read("pyproject.toml"))["tool"]["importlinter"]["contracts"]
    (enforced,) = (c["layers"] for c in contracts if c["id"] == "layers")
    assert written.split(" > ") == enforced


def test_every_script_stands_in_the_document_or_in_another_script() -> None:
    named = set(inline_code("ARCHITECTURE.md"))
    scripts = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())
    texts = {script.name: script.read_text(encoding="utf-8") for script in scripts}
    for name in texts:
        callers = [other for other in texts if other != name and f"scripts/{name}" in texts[other]]
        assert name in named or callers, name
