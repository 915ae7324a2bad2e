from __future__ import annotations

import io

from rich.table import Table
from rich.text import Text

from quorate.cli.views.terminal import Console

HOSTILE = "a\x1b]0;owned\x07\x9b31mb"
SHOWN = "a\\x1b]0;owned"


def printed(*things: object, terminal: bool = True) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=100, highlight=False)
    console.print(*things)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_text_styles_and_tables_show_foreign_escapes_as_text() -> None:
    table = Table("name")
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE, style="bold"))
    out = printed(HOSTILE, Text(HOSTILE, style="red"), table)
    assert out.count(SHOWN) == 4
    assert "\x1b]" not in out
    assert "\x9b" not in out
    assert "\x07" not in out


def test_the_consoles_own_colours_stay() -> None:
    assert "\x1b[" in printed(Text("plain", style="red"))
    assert "\x1b" not in printed(Text("plain", style="red"), terminal=False)
