"""The README's table is what a recorded run says, and nobody's memory of one."""

from __future__ import annotations

from quorate_bench.records import read_records
from quorate_bench.report.markdown import markdown
from quorate_bench.summary import summaries

from support.repository import ROOT, read


def test_the_table_of_the_readme_is_that_of_the_recorded_run() -> None:
    records = read_records(ROOT / "docs" / "measured" / "quick.jsonl")
    _, _, rest = read("README.md").partition("<!-- scripts/readme_table writes this -->\n")
    written, end, _ = rest.partition("<!-- to here -->\n")
    assert end, "README.md has no marks between which scripts/readme_table writes"
    assert records.ended
    assert written == markdown(records, summaries(records))
