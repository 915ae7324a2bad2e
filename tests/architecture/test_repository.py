from __future__ import annotations

import re
import shutil

import pytest

from quorate.engines.llama_cpp.trial import rebuild_command
from support.repository import ROOT, read, run

BUILD_MACHINE = re.compile(r"(?<![\w.~$}-])/(?:work|root|home/\w+)/")
# One letter of each word stands in brackets, so that this line does not find itself.
UNOWNED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b(?!\(\w+\))")

FLAGS = re.compile(r"-fno-dse(?: -U\w+)*")
BUILDS_OF_LLAMA_CPP = (
    "README.md",
    "benchmarks/llama_server",
    "scripts/llama_cpp_wheel",
    "scripts/prove_gpu",
)

MAX_LINES = 350
GENERATED = "runtime/quorate/v1/"


def texts() -> dict[str, str]:
    """Every text of the checkout that is or may be committed, by its path."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    assert listed.returncode == 0, listed.stdout
    paths = [path for path in listed.stdout.split("\0") if (ROOT / path).is_file()]
    contents = ((path, (ROOT / path).read_bytes()) for path in paths)
    return {path: data.decode("utf-8") for path, data in contents if b"\0" not in data}


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    assert lines_with(BUILD_MACHINE) == []


def test_every_postponed_task_has_an_owner() -> None:
    assert lines_with(UNOWNED) == []


def test_every_build_of_llama_cpp_and_every_advice_to_build_it_takes_the_same_flags() -> None:
    advised = FLAGS.search(rebuild_command())
    assert advised is not None
    flags = {path: max(FLAGS.findall(read(path)), key=len) for path in BUILDS_OF_LLAMA_CPP}
    assert flags == dict.fromkeys(BUILDS_OF_LLAMA_CPP, advised.group())


def test_no_file_of_the_product_is_too_long_to_read_at_once() -> None:
    lengths = {
        path: len(text.splitlines())
        for path, text in texts().items()
        if path.endswith(".py") and path.startswith(("runtime/", "model_registry/"))
    }
    assert lengths
    long = {path for path, lines in lengths.items() if lines > MAX_LINES}
    assert {path for path in long if not path.startswith(GENERATED)} == set()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("path = '/{}/models'", True),
        ("see /{}/main", True),
        ("tests/{}/a", False),
        ("https://host/{}/", False),
        ("${{HOME}}/{}/", False),
    ],
)
@pytest.mark.parametrize("folder", ["work", "root"])
def test_the_search_for_machines_finds_them(line: str, folder: str, found: bool) -> None:
    assert bool(BUILD_MACHINE.search(line.format(folder))) is found


@pytest.mark.parametrize(
    ("line", "found"),
    [("# {}: later", True), ("# {}", True), ("# {}(ada): later", False), ("{}AWAY", False)],
)
@pytest.mark.parametrize("word", ["todo", "fixme", "xxx"])
def test_the_search_for_tasks_finds_them(line: str, word: str, found: bool) -> None:
    assert bool(UNOWNED.search(line.format(word.upper()))) is found


def test_tests_of_vllm_are_where_their_script_looks() -> None:
    named = re.search(r"set -- (.+)", texts()["scripts/test_vllm"])
    assert named is not None
    folders = tuple(f"{folder}/" for folder in named[1].split())
    marked = [path for path, text in texts().items() if re.search(r"\bmark\.v[l]lm\b", text)]
    assert marked
    assert [path for path in marked if not path.startswith(folders)] == []
