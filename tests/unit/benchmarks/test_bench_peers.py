"""Programs side by side: how they are started and asked, and what is made of their times."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from quorate_bench.measuring import Disturbed, timed, told
from quorate_bench.peers import sides as found_sides
from quorate_bench.peers.http_servers import streamed_moments
from quorate_bench.peers.lines import line_program
from quorate_bench.peers.ratios import missing, ratio_of, rows, verdict
from quorate_bench.peers.sides import FLOAT_TYPE, Given, sides
from quorate_bench.side_by_side.contract import Prompt

from quorate.errors import CannotRun
from support.bench_records import records_of_peers

CORES = sorted(os.sched_getaffinity(0))[:1]
PROMPTS = [Prompt("one", (1, 2, 3)), Prompt("two", (4,))]


def given(tmp_path: Path, **changes: object) -> Given:
    model = tmp_path / "some folder" / "model.gguf"
    members = {"model": model, "model-again": model}
    usual = {"members": members, "cores": [0, 1], "streams": 4, "context": 224,
             "llama_server": None, "torch": None, "made": tmp_path / "made"}  # fmt: skip
    return Given(**{**usual, **changes})  # type: ignore[arg-type]


def test_quorate_is_held_against_each_program_on_the_same_weights_round_by_round() -> None:
    found = {
        (one.side["name"], one.side["quantisation"], one.summary.case.concurrency): one.ratio
        for one in rows(records_of_peers())
    }
    assert found["Quorate", "", 1] is None
    for streams in (1, 4):
        slow, quick = found["slow", "", streams], found["quick", "BF16", streams]
        assert slow is not None
        assert quick is not None
        # The machine slowed down by 40 % meanwhile, and no ratio did.
        assert (slow.low, slow.value, slow.high) == pytest.approx((0.5, 0.5, 0.5))
        assert quick.value == pytest.approx(2.0)
    bare = found["bare", "", 1]
    assert bare is not None
    assert bare.low < 1 < bare.high


def test_a_verdict_names_who_is_faster_and_who_is_slower_and_nobody_within_the_noise() -> None:
    assert verdict(rows(records_of_peers())) == (
        "With one answer at a time Quorate is faster than slow, slower than quick, on the same "
        "weights."
    )
    assert verdict([]) == "No other program was measured."


def test_rounds_that_one_side_missed_are_not_compared() -> None:
    ratio = ratio_of({0: 1.0, 1: 8.0}, {0: 2.0})
    assert ratio is not None
    assert ratio.value == 0.5
    assert ratio_of({0: 1.0}, {1: 1.0}) is None


def test_what_was_left_out_is_told_once_with_its_reason() -> None:
    assert missing(records_of_peers()) == [("absent", "not installed")]


def test_a_program_whose_model_time_nobody_tells_has_no_share_of_it() -> None:
    answers = [timed(1.0, [1.5, 1.6, 1.8], 7)]
    found = told(answers, 1.0)
    assert (found["waited_share"], found["joules"], found["tier"]) == (None, None, "unavailable")
    assert found["first_ms"] == [500]
    assert found["gaps_ms"] == pytest.approx([100, 200])
    assert (found["tokens"], found["read_tokens"]) == (3, 7)
    assert found["tokens_per_second"] == pytest.approx(3 / 0.8, rel=1e-4)
    with pytest.raises(Disturbed, match="after 1 tokens"):
        timed(1.0, [1.5], 7)


PROGRAM = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked["tokens"] == 13:
        print("no memory for this", file=sys.stderr); sys.exit(1)
    moments = [[len(ids) * k for k in range(1, asked["tokens"] + 1)] for ids in asked["prompts"]]
    print(json.dumps({"moments": moments[: asked["tokens"]]}), flush=True)
"""


async def test_a_program_is_told_ids_and_answers_with_moments_until_it_dies() -> None:
    async with line_program("toy", [sys.executable, "-c", PROGRAM], CORES) as peer:
        first, second = await peer.answers(PROMPTS, 3)
        assert (first.first_ms, first.gaps_ms) == (
            pytest.approx(3000),
            pytest.approx((3000, 3000)),
        )
        assert (second.first_ms, second.tokens, second.prompt_tokens) == (pytest.approx(1000), 3, 1)
        with pytest.raises(Disturbed, match="toy answered 1 of 2 prompts"):
            await peer.answers(PROMPTS, 1)
        with pytest.raises(Disturbed, match="toy did not answer: no memory for this"):
            await peer.answers(PROMPTS, 13)


async def test_a_program_that_does_not_come_up_says_why() -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('no such architecture')"]
    with pytest.raises(CannotRun, match="did not come up: no such architecture"):
        async with line_program("toy", command, CORES):
            pass


class _Streaming(BaseHTTPRequestHandler):
    """Speaks as llama-server does, and elsewhere as OpenAI's API."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["prompt"] == "refuse":
            self.send_error(500)
            return
        self.send_response(200)
        self.end_headers()
        for word in ("", "a", "b", ""):
            own = {"content": word, "stop": False}
            shaped = {"choices": [{"text": word}]} if self.path.startswith("/v1") else own
            self.wfile.write(f"data: {json.dumps(shaped)}\n\n".encode())
        self.wfile.write(b'data: {"content": "c", "stop": true}\n\n: ping\n\ndata: [DONE]\n\n')

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def streaming_server() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Streaming) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_events_with_text_are_tokens_in_either_format() -> None:
    with streaming_server() as port:
        for path in ("/completion", "/v1/completions"):
            moments = streamed_moments(port, path, {"prompt": "x"})
            assert len(moments) == 2
            assert moments == sorted(moments)
        with pytest.raises(ValueError, match="answered 500"):
            streamed_moments(port, "/completion", {"prompt": "refuse"})


def test_what_is_not_installed_is_left_out_with_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_sides.shutil, "which", lambda name: None)
    monkeypatch.setattr(found_sides, "find_spec", lambda name: None)
    monkeypatch.setattr(found_sides, "_installed", lambda python: {"torch": "2", "gguf": "1"})
    found = {(side.name, side.quantisation): side for side in sides(given(tmp_path))}
    lacking = {name for (name, _), side in found.items() if side.missing}
    assert lacking == {
        "llama-server", "llama-cpp-python's server", "vLLM", "transformers",
        "token ensemble of 2 in transformers",
    }  # fmt: skip
    assert "--llama-server" in found["llama-server", ""].missing
    assert "pip install" in found["llama-cpp-python's server", ""].missing
    assert found["vLLM", FLOAT_TYPE].missing == (
        "no vllm, transformers, accelerate installed; give --torch PYTHON, an interpreter that has "
        "them"
    )
    # Nobody is there to be held against with other weights.
    assert ("Quorate", FLOAT_TYPE) not in found


def test_every_program_runs_the_same_and_is_told_without_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = dict.fromkeys(("torch", "transformers", "gguf", "accelerate", "vllm"), "1")
    monkeypatch.setattr(found_sides, "_installed", lambda python: every)
    program = tmp_path / "llama-server"
    program.write_text("#!/bin/sh\necho 'version: 7 (abc)' >&2\n")
    program.chmod(0o755)
    found = sides(given(tmp_path, llama_server=program))
    assert not [side.missing for side in found if side.missing]
    assert {side.against for side in found} == {"", "Quorate", "Quorate, vote of 2"}
    ours = {(side.name, side.quantisation) for side in found if side.plan is not None}
    assert all((side.against, side.quantisation) in ours for side in found if side.against)
    for side in found:
        assert "/" not in side.command.replace(" model.gguf", "")
    (server,) = [side for side in found if side.name == "llama-server"]
    assert server.version == "7 (abc)"
    assert server.command.startswith("llama-server --model model.gguf --threads 2 ")


def test_an_interpreter_that_is_none_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotRun, match="is no Python that can be asked"):
        sides(given(tmp_path, torch=tmp_path / "nothing"))
