from __future__ import annotations

import math
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.engines.contract import Capabilities, ModelFacts
from quorate.engines.generation import SampledToken
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.worker.messages import (
    FROM_WORKER,
    TO_WORKER,
    Branch,
    Cancel,
    Close,
    Completed,
    Encode,
    EncodeContinuation,
    Encoded,
    EncodedPart,
    Feed,
    Generate,
    Load,
    Loaded,
    LoadTokenizer,
    Open,
    Progress,
    Refused,
    Rewind,
    Sampled,
    Score,
    Scored,
    ScoredPart,
    SetContextLength,
    SetCores,
    Stop,
    Taken,
    TokenizerLoaded,
    Unusable,
)
from quorate.engines.worker.transport.lines import LineBuffer
from quorate.request import ChatPrompt, Message, TextPrompt
from support.scripted_models import engine_sampling

FACTS = ModelFacts("toy", 512, 8, 4096, Capabilities(chat=True, fork=False, rewind=True), 7, True)
WITH_TOP = SampledToken(7, -0.1, [(7, -0.1), (8, -2.5)])


@pytest.mark.parametrize(
    "message",
    [
        Load("scripted", "/models/a.gguf", {"seed": 1, "say": "é\n"}, [0, 1]),
        Open(3, 1, False),
        Open(3, 1, True),
        Feed(3, [5, 6]),
        Score(3, [5, 6]),
        Generate(3, [5, 6], engine_sampling(logit_bias=[])),
        Generate(3, [5], engine_sampling(seed=2**63, temperature=0.1, logit_bias=[(7, -0.5)])),
        Taken(3, 64),
        Branch(3, 4, 2, True),
        Rewind(3, 1),
        Close(3),
        Encode(9, TextPrompt("a\nb\udc80")),
        Encode(9, ChatPrompt((Message("user", "hi\n"), Message("assistant", "")))),
        EncodeContinuation(9, "x"),
        Cancel(9),
        LoadTokenizer("llama_cpp", "m.gguf", {"sessions": 2}, [0, 1]),
        SetContextLength(4096),
        SetCores([1]),
        Stop(),
    ],
)
def test_what_the_coordinator_says_survives_the_wire_in_one_line(message):
    for line in (TO_WORKER.encode(message), TO_WORKER.encode_large(message)):
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        assert TO_WORKER.decode(line[:-1]) == message


@pytest.mark.parametrize(
    "message",
    [
        Progress(0.25),
        Loaded(FACTS, 271),
        Unusable("broken"),
        Completed([[1, 0], [2, 17]]),
        Scored(3, [-1.5, -0.0001, -math.inf]),
        Scored(3, []),
        ScoredPart(3, [-1.5]),
        EncodedPart(9, [1, 2]),
        Sampled([SessionOutput(3, [SampledToken(7, -0.1, [])], False, 0)]),
        Sampled(
            [
                SessionOutput(3, [WITH_TOP, SampledToken(8, 0.0, [])], False, 2),
                SessionOutput(4, [], False, 0),
                SessionOutput(5, [SampledToken(1, -3.25, [])], True, 0),
            ]
        ),
        Sampled([]),
        Encoded(9, [1, 2]),
        TokenizerLoaded("1f-ab"),
        Refused(9, "InvalidRequest", "messages", "no\nsense"),
    ],
)
def test_what_a_worker_says_survives_the_wire_in_one_line(message):
    line = FROM_WORKER.encode(message)

    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert FROM_WORKER.decode(line[:-1]) == message


@given(st.lists(st.floats(max_value=0, width=32)))
def test_log_probs_keep_every_bit_on_the_wire(logprobs):
    assert FROM_WORKER.decode(FROM_WORKER.encode(Scored(1, logprobs))[:-1]) == Scored(1, logprobs)


def test_read_only_options_can_be_sent():
    line = TO_WORKER.encode(Load("scripted", "", MappingProxyType({"seed": 1}), (0,)))

    assert line == b'["load","scripted","",{"seed":1},[0]]\n'


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'["feed"]',
        b'["feed",1,[2]]',
        b'["feed",1,[2],3,4]',
        b'["feed","1",[2],0]',
        b'["feed",1,2,0]',
        b'["feed",true,[2],0]',
        b'["feed",1,[2],true]',
        b'["encode",1,["prompt","a"]]',
        b'["encode",1,"a"]',
        b'["open",1,2]',
        b'["generate",1,[2],3]',
        b'["generate",1,[2],[3]]',
        b'["generate",1,[2],{"max_tokens":1}]',
        b'["unheard_of"]',
        b"\xff",
        b"[[]]",
    ],
)
def test_an_unreadable_line_is_a_value_error(line):
    with pytest.raises(ValueError, match="unreadable message"):
        TO_WORKER.decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'["sampled",1]',
        b'["sampled",[1]]',
        b'["sampled",[[1,[[2]],true,0]]]',
        b'["sampled",[[1,[[2,-0.5,[3]]],true,0]]]',
        b'["sampled",[[1,[[2,-0.5,[[3]]]],true,0]]]',
        b'["completed",[1]]',
        b'["completed",[["1",0]]]',
        b'["completed",[[true,0]]]',
        b'["encoded",1,[1.5]]',
        b'["encoded",1,[null]]',
        b'["scored",1,["x"]]',
        b'["sampled",[[1,[[2,-0.5,[[3,"x"]]]],true,0]]]',
        b"[" * 20_000,
        b'["loaded",["toy",512],271]',
    ],
)
def test_parts_that_are_none_are_a_value_error(line):
    with pytest.raises(ValueError, match="unreadable message"):
        FROM_WORKER.decode(line)


def test_the_directions_are_not_mixed_up():
    with pytest.raises(ValueError, match="unreadable message"):
        FROM_WORKER.decode(TO_WORKER.encode(Stop()))


@given(st.lists(st.binary().map(lambda line: line.replace(b"\n", b"")), max_size=5), st.data())
def test_lines_come_out_whole_however_the_stream_is_cut(lines, data):
    stream = b"".join(line + b"\n" for line in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    buffer = LineBuffer()

    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += buffer.push(stream[start:end])

    assert received == lines
