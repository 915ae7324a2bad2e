"""Control tokens over the whole way: a worker's row, its mask, the vote, the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quorate.engines.scripted.tokenizer import IM_END, IM_START
from quorate.v1 import inference_pb2, plan_pb2
from support.streams import answer
from support.whole_service import scripted, whole_service

BOX: dict[str, Any] = {"say": "<|im_start|>hi <|im_end|>there", "marks": True, "control": 0.01}


async def test_a_model_that_answers_in_control_tokens_is_heard(tmp_path: Path) -> None:
    models = [
        scripted("box", seed=1, **BOX),
        scripted("alone", seed=1, generate=True, **BOX),
        scripted("words", seed=2, vocabulary="words", say="hi there"),
    ]
    async with whole_service(tmp_path, *models) as (_, client):
        for model in ("box", "alone"):
            heard = await answer(client, "x", model=model, temperature=0.0, max_tokens=20)
            assert heard.text == "hi there"
            marks = [token for token in heard.tokens if token.control]
            assert [(token.token_id, token.piece) for token in marks] == [
                (IM_START, b""),
                (IM_END, b""),
            ]
            reason = heard.events[-1].finished.reason
            assert reason == inference_pb2.FINISH_REASON_END_OF_GENERATION
        bytewise = await answer(
            client, "x", models=["box", "words"], temperature=0.0, max_tokens=20
        )
        assert bytewise.decision.alignment == plan_pb2.ALIGNMENT_BYTE_EXACT
        assert bytewise.text == "hi there"
        assert not any(token.control for token in bytewise.tokens)


@pytest.mark.parametrize("alignment", ["same_vocabulary", "byte_exact", "union_top_k"])
async def test_a_notice_tells_of_a_mass_that_was_cut(tmp_path: Path, alignment: str) -> None:
    models = [scripted("cut", masked=0.25), scripted("whole", masked=0.05)]
    async with whole_service(tmp_path, *models) as (_, client):
        heard = await answer(
            client, "x", models=["cut", "whole"], alignment=alignment, max_tokens=4
        )
        notices = [event.notice for event in heard.events if event.HasField("notice")]
        assert [(notice.kind, notice.model) for notice in notices] == [
            (inference_pb2.NOTICE_KIND_MASS_CUT, "cut")
        ]
        assert "25%" in notices[0].message


async def test_reasoning_comes_apart_from_the_answer_of_a_chat(tmp_path: Path) -> None:
    model = scripted("thinker", seed=1, thinks=True, confidence=0.9999, **BOX)
    async with whole_service(tmp_path, model) as (_, client):
        asked = {"model": "thinker", "temperature": 0.0, "max_tokens": 20}
        heard = await answer(client, None, messages=[("user", "x")], **asked)
        deltas = [event.delta for event in heard.events if event.HasField("delta")]
        assert "".join(delta.reasoning for delta in deltas) == "hi "
        assert heard.text == "there"
        assert all(not delta.text for delta in deltas if delta.HasField("reasoning"))
        assert (await answer(client, "x", **asked)).text == "hi there"
