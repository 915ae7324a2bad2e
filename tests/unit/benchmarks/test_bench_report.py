"""What a report says of a run, and that a browser shows it."""

from __future__ import annotations

import html.parser
import re
import shutil
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from quorate_bench.compare import compare, other_files
from quorate_bench.records import Records
from quorate_bench.report.advice import Advice, advice
from quorate_bench.report.drawing import Picture, png, svg
from quorate_bench.report.markdown import markdown
from quorate_bench.report.page import page
from quorate_bench.report.pictures import pictures
from quorate_bench.report.profiles import profiles_toml
from quorate_bench.report.roofline import bounds
from quorate_bench.summary import base_cases, left_out, noise_of, summaries

from quorate.request import AnswersPlan, Comparison
from quorate.settings import parse_settings
from support.bench_records import records_of_a_run, records_of_growth, records_of_peers

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


def drawn_of(records: Records) -> list[Picture]:
    return pictures(records, summaries(records))


@pytest.fixture(scope="module")
def shown() -> str:
    """The page of a run whose models have names of strangers."""
    records = records_of_a_run("<script>alert(1)</script>")
    return page(records, summaries(records))


def test_a_summary_has_the_median_of_the_repetitions_with_its_interval() -> None:
    first = summaries(records_of_a_run())[0]
    assert (first.case.plan, first.repetitions) == ("large", 3)
    assert (first.token_ms.low, first.token_ms.value, first.token_ms.high) == (100, 101, 102)
    assert first.joules_per_token is not None
    assert first.joules_per_token.value == pytest.approx(101 * 0.04 / 4)
    assert (first.accepted_share, first.bits_per_byte) == (0.7, 0.9)


@pytest.mark.parametrize("every", [2, 16])
def test_the_base_has_every_plan_once_on_all_cores(every: int) -> None:
    base = base_cases(summaries(records_of_a_run(every=every)))
    assert [one.case.plan for one in base] == [
        "large", "small", "large + small", "weighted", "large, small",
    ]  # fmt: skip
    assert {one.case.setting.cores for one in base} == {every}


def test_a_case_is_left_out_as_long_as_a_repetition_of_it_is_missing() -> None:
    records = records_of_a_run()
    (missing,) = left_out(records)
    again = {**missing, "reason": "another"}
    measured = {**missing, "concurrency": 4, "reason": "measured since"}
    records.left_out += [again, measured]
    assert left_out(records) == [again]


def test_advice_never_holds_answers_against_predictions() -> None:
    base = base_cases(summaries(records_of_a_run()))
    half = [replace(one, accuracy=0.5 if index else None) for index, one in enumerate(base)]
    assert [one.why for one in advice(half)] == [one.why for one in advice(base)]
    all_of_them = [replace(one, accuracy=0.5) for one in base]
    assert [one.why for one in advice(all_of_them)] == ["50% right"]


def test_advice_goes_from_the_fastest_plan_to_the_one_that_predicts_best() -> None:
    found = advice(base_cases(summaries(records_of_a_run())))
    assert [one.summary.case.plan for one in found] == ["small", "large + small"]


def test_profiles_of_every_kind_of_plan_are_a_configuration_that_is_accepted() -> None:
    records = records_of_a_run()
    every = [Advice(1.0, one, "so") for one in base_cases(summaries(records))]
    written = tomllib.loads(profiles_toml(records, every))
    models = [{"id": name, "engine": "scripted"} for name in ("large", "small")]
    settings = parse_settings({"models": models, **written}, Path.cwd())
    assert set(settings.profiles) == {"large", "small", "large-small", "weighted", "large-small-2"}
    assert [m.weight for m in settings.profiles["weighted"].members] == [0.7, 0.3]


def test_a_vote_of_whole_answers_is_a_profile_that_is_accepted() -> None:
    records = records_of_a_run()
    plans = records.run["sweep"]["plans"]
    answers = {"name": "weighted", "answers": ["large", "small"], "compare": "numeric"}
    plans[:] = [answers if one["name"] == "weighted" else one for one in plans]
    every = [Advice(1.0, one, "so") for one in base_cases(summaries(records))]
    models = [{"id": name, "engine": "scripted"} for name in ("large", "small")]
    tables = {"models": models, **tomllib.loads(profiles_toml(records, every))}
    written = parse_settings(tables, Path.cwd()).profiles["weighted"]
    assert isinstance(written, AnswersPlan) and written.compare is Comparison.NUMERIC


def test_a_vote_is_bounded_by_the_weights_of_all_members_and_a_cascade_is_not_judged() -> None:
    records = records_of_a_run()
    found = {one.plan: one for one in bounds(records, base_cases(summaries(records)))}
    assert found["large"].bound == pytest.approx(1e10 / 9e8)
    assert found["large + small"].bound == pytest.approx(1e10 / 11e8)
    assert "large, small" not in found


def test_two_runs_are_compared_case_by_case() -> None:
    found = compare(records_of_a_run(), records_of_a_run(slower=1.5))
    times = [one for one in found if one.quantity == "token_ms"]
    assert len(times) == 20
    assert {one.verdict for one in times} == {"more"}
    assert {round(one.ratio.value, 6) for one in times} == {1.5}


def test_all_cores_of_one_machine_are_held_against_all_of_another() -> None:
    found = compare(records_of_a_run(), records_of_a_run(every=16))
    assert len([one for one in found if one.quantity == "token_ms"]) == 20
    assert {one.verdict for one in found} == {"no difference"}
    assert other_files(records_of_a_run(), records_of_a_run(every=16)) == []


def test_a_quiet_run_has_no_noise() -> None:
    assert noise_of(records_of_a_run()) == ""


EVERY_PICTURE = [
    picture
    for records in (records_of_a_run(), records_of_peers(), records_of_growth())
    for picture in drawn_of(records)
]


def test_runs_of_peers_and_of_growth_have_figures_of_their_own() -> None:
    assert [one.name for one in EVERY_PICTURE[-6:]] == [
        "peers_time_per_token", "peers_at_once_4",
        "growth_members", "growth_concurrency", "growth_context", "growth_vocabulary",
    ]  # fmt: skip


def test_their_pages_have_every_ratio_with_its_command_and_every_step() -> None:
    peers = page(records_of_peers(), summaries(records_of_peers()))
    assert "<td>run slow</td>" in peers
    assert "<td>0.500 [0.500, 0.500]</td>" in peers
    assert "absent: 2 cores, 4 at once" in peers
    assert "Which plan for which budget" not in peers
    growth = page(records_of_growth(), summaries(records_of_growth()))
    assert "<td>tokens of the vocabulary</td><td>two members</td><td>262,144</td>" in growth


@pytest.mark.parametrize("picture", EVERY_PICTURE, ids=lambda one: one.name)
def test_every_figure_says_what_it_shows_in_words_and_units(picture) -> None:
    axes = Figure().add_subplot()
    picture.draw(axes)
    labels = f"{axes.get_xlabel()} {axes.get_ylabel()}"
    assert re.search(r"\bms\b|tokens|joules|bits per byte|%|cores|answers", labels)
    assert picture.says.endswith(".")
    assert png(picture).startswith(b"\x89PNG")
    # Equal records give equal files.
    assert svg(picture, (4, 3)) == svg(picture, (4, 3))


def test_a_page_asks_nobody_and_shows_foreign_names_as_they_are(shown: str) -> None:
    assert "<script" not in shown
    assert "A &lt;processor&gt;" in shown
    assert "no &lt;time&gt;" in shown

    class Addresses(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
            for name, value in attributes:
                if name in ("src", "href", "srcset"):
                    assert value is not None
                    assert value.startswith("data:"), value[:80]

    Addresses().feed(shown)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_a_browser_shows_the_page_without_complaint_and_within_its_width(
    tmp_path: Path, shown: str
) -> None:
    widths = (390, 1200)
    pages = [(shown, 8)]
    pages += [(page(one, summaries(one)), figures)
              for one, figures in ((records_of_peers(), 2), (records_of_growth(), 4))]  # fmt: skip
    for index, (written, _) in enumerate(pages):
        (tmp_path / f"page{index}.html").write_text(written)
    wanted = [
        (index, figures, width) for index, (_, figures) in enumerate(pages) for width in widths
    ]
    frames = (
        f'<iframe src="page{index}.html" style="width:{width}px;height:900px;border:0"></iframe>'
        for index, _, width in wanted
    )
    (tmp_path / "frames.html").write_text(
        f"{''.join(frames)}<p id=said></p><script>onload = () => {{ said.textContent = "
        "[...document.querySelectorAll('iframe')].map(f => { const d = f.contentDocument; return "
        "`wide ${d.documentElement.scrollWidth} images ${[...d.images].every("
        "i => i.complete && i.naturalWidth > 0)} ${d.images.length};` }) }</script>"
    )
    done = subprocess.run(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", f"file://{tmp_path / 'frames.html'}"],
        capture_output=True, text=True, timeout=90, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    told = re.findall(r"wide (\d+) images (\w+) (\d+);", done.stdout)
    assert len(told) == len(wanted), done.stdout
    for (_, figures, width), (wide, loaded, images) in zip(wanted, told, strict=True):
        assert int(wide) <= width
        assert loaded == "true"
        assert int(images) >= figures


def test_a_table_for_documents_holds_every_plan_against_the_first() -> None:
    records = records_of_a_run()
    about, empty, *table = markdown(records, summaries(records)).splitlines()
    assert about.startswith("Measured on 2027-01-15 by `quorate bench`, version 1 abc: A <proc")
    assert "Energy is modelled, not measured" in about
    assert empty == ""
    assert table[0] == (
        "| plan | first token | each further token | against `large` | tokens/s, 4 at once | "
        "energy a token | bits per byte |"
    )
    assert table[2] == "| large | 808 ms | 101 ms (100 to 102) | 1 | 19.8 | 1.01 J | 0.900 |"
    assert table[3].startswith(
        "| small | 242 ms | 30.3 ms (30 to 30.6) | 0.30x (0.294 to 0.306) | "
    )
    assert len(table) == 7


def test_records_of_before_the_parts_were_measured_have_all_but_their_figure() -> None:
    records = records_of_a_run()
    with_parts = [one.name for one in drawn_of(records)]
    for one in records.measurements:
        del one["parts_ms"]
    without = [one.name for one in drawn_of(records)]
    assert [name for name in with_parts if name not in without] == ["where_the_time_goes"]
    assert "Parts of a token" not in page(records, summaries(records))
