from __future__ import annotations

import tomllib
from pathlib import Path

from support.repository import ROOT, inline_code, read

PACKAGE = ROOT / "runtime" / "quorate"
SOURCES = (PACKAGE, ROOT / "model_registry" / "quorate_registry")


def packages() -> set[Path]:
    """Every package of the product, however deep."""
    return {path.parent for source in SOURCES for path in source.rglob("*.py")}


def named_rooms() -> set[Path]:
    """Rooms the document names, by their path from the root or, for short, from the runtime."""
    rooms = {code for code in inline_code("ARCHITECTURE.md") if code.endswith("/")}
    return {base / room for room in rooms for base in (ROOT, PACKAGE)}


def test_every_package_is_named() -> None:
    assert packages() - named_rooms() - {PACKAGE} == set()


def test_every_module_beside_the_packages_is_named() -> None:
    modules = {path for path in PACKAGE.glob("*.py") if not path.stem.startswith("__")}
    assert modules - {ROOT / code for code in inline_code("ARCHITECTURE.md")} == set()


def test_every_room_of_the_product_that_is_named_is_a_package() -> None:
    prefixes = tuple(f"{source.relative_to(ROOT)}/" for source in SOURCES)
    rooms = {code for code in inline_code("ARCHITECTURE.md") if code.startswith(prefixes)}
    ours = {ROOT / room for room in rooms if room.endswith("/")}
    assert ours
    assert ours - packages() == set()


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
