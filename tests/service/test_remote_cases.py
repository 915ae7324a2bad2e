"""Remotes as they are, through a whole server: text, end, charge, window, reservations, time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from quorate.client import Client
from quorate.v1 import accounting_pb2, inference_pb2, plan_pb2
from support.fallback import (
    INPUT_USD,
    OUTPUT_USD,
    SAY,
    ask_far,
    candidate,
    clauses,
    most_prompt_tokens,
    place_with_remote,
)
from support.faulty_remote import (
    DONE,
    HOLD,
    REPEAT,
    Answer,
    FaultyRemote,
    Pause,
    chunk,
    counted,
    delta,
    event,
    refuses,
    streams,
)
from support.ledgers import charges_once, reservations
from support.streams import Stream

NANO_USD = 1e-9
MAX_TOKENS = 64
WORDS = ("So", " be", " it", ",", " said", " the", " far", " one", ".", " End")
TEXT = "".join(WORDS)
BODY = tuple(delta(word) for word in WORDS)
STOP = delta(finish="stop")
COUNT = counted(20, len(WORDS))
ROLE = delta("", role="assistant")
PING = b": ping\n\n"
BOUND = most_prompt_tokens("Say it.")
CALL_USD = BOUND * INPUT_USD + MAX_TOKENS * OUTPUT_USD
"""Most that one call may cost."""
BUDGET = {"budgets": {"usd_per_day": 1.0}}


def usage(prompt: Any, generated: Any, total: Any, **details: Any) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": total}
    return event({"choices": [], "usage": {**counts, **details}})


def whole(*parts: bytes | Pause) -> Answer:
    """A role, these parts, a stop, a count and the end."""
    return streams(ROLE, *parts, STOP, COUNT, DONE)


def reported(report: bytes) -> Answer:
    """The answer with another count."""
    return streams(ROLE, *BODY, STOP, report, DONE)


def spelled(**fields: Any) -> bytes:
    """An event whose delta has these fields."""
    return event({"choices": [{"index": 0, "delta": fields}]})


def in_one_piece(value: Any) -> Answer:
    return Answer((json.dumps(value).encode(),), headers={"content-type": "application/json"})


MESSAGE = {"message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 20, "completion_tokens": len(WORDS), "total_tokens": 30}
LEGAL = {
    "plain": whole(*BODY),
    "retry before all": streams(b"retry: 3000\n\n", *whole(*BODY).parts),
    "ids": whole(*(b"id: 7\n" + part for part in BODY)),
    "carriage returns": Answer(tuple(p.replace(b"\n", b"\r\n") for p in whole(*BODY).parts)),
    "one packet": Answer((b"".join(whole(*BODY).parts),)),
    "a name without data": whole(*BODY[:5], b"event: ping\n\n", *BODY[5:]),
    "a ping as JSON": whole(b'event: ping\ndata: {"type": "ping"}\n\n', *BODY),
    "a ping as text": whole(*BODY[:5], b"event: ping\ndata: still here\n\n", *BODY[5:]),
    "a ping without a name": whole(*BODY[:5], event({"type": "ping"}), b"data:\n\n", *BODY[5:]),
    "null": whole(*BODY[:5], event(None), *BODY[5:]),
    "an event of another kind": whole(event({"object": "queue.position", "position": 3}), *BODY),
    "comments": streams(b": PROCESSING\n\n", PING, *whole(*BODY).parts),
    "no end": streams(ROLE, *BODY, STOP, COUNT),
    "no blank line at the end": streams(ROLE, *BODY, STOP, COUNT.rstrip(b"\n")),
    "a thought in parts": whole(
        delta([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]),
        *BODY,
    ),
    "text in parts": whole(*(delta([{"type": "text", "text": word}]) for word in WORDS)),
    "reasoning": whole(spelled(reasoning="hm"), spelled(reasoning_content="so"), *BODY),
    "reasoning in details": whole(spelled(reasoning_details=[{"text": "hm"}]), *BODY),
    "nothing but nulls": whole(spelled(content=None, tool_calls=None), *BODY),
    "another choice": whole(
        *BODY[:5], event({"choices": [{"index": 1, "delta": {"content": "no"}}]}), *BODY[5:]
    ),
    "a count in the last choice": streams(
        ROLE,
        *BODY,
        event({"choices": [{"delta": {}, "finish_reason": "stop", "usage": USAGE}]}),
        DONE,
    ),
    "a count with every piece": streams(
        *(event({**chunk(w), "usage": {**USAGE, "completion_tokens": 1}}) for w in WORDS),
        STOP,
        COUNT,
        DONE,
    ),
    "no stream at all": in_one_piece({"choices": [MESSAGE], "usage": USAGE}),
}
PAID = {
    "reasoning outside": (
        usage(32, 10, 982, completion_tokens_details={"reasoning_tokens": 940}),
        32 * INPUT_USD + 950 * OUTPUT_USD,
    ),
    "reasoning outside, not named": (usage(32, 10, 982), 32 * INPUT_USD + 950 * OUTPUT_USD),
    "all zeros": (usage(0, 0, 0), BOUND * INPUT_USD + 10 * OUTPUT_USD),
    "no count": (b"", BOUND * INPUT_USD + 10 * OUTPUT_USD),
    "more cached than read": (
        usage(1, 10, 11, prompt_tokens_details={"cached_tokens": 965_602}),
        BOUND * INPUT_USD + 10 * OUTPUT_USD,
    ),
    "fewer than none": (usage(-20, -10, -30), BOUND * INPUT_USD + 10 * OUTPUT_USD),
    "too few": (usage(20, 1, 21), BOUND * INPUT_USD + 10 * OUTPUT_USD),
    "beyond all bounds": (usage(10**40, 10**40, 10**40), CALL_USD),
    "infinite": (b'data: {"choices": [], "usage": {"prompt_tokens": Infinity}}\n\n', None),
}
ENDS = {
    "stop": ("stop", "end_of_generation", ""),
    "length": ("length", "context_full", ""),
    "end_turn": ("end_turn", "end_of_generation", "end_turn"),
    "a word nobody knows": ("<b>done\x1b", "end_of_generation", "?b?done?"),
    "a filter": ("content_filter", "content_filter", ""),
}


@asynccontextmanager
async def place(
    home: Path, *script: Answer, usd: float = 1.0, **settings: Any
) -> AsyncIterator[tuple[FaultyRemote, Client]]:
    """A service with one dollar a day and a remote."""
    budgets = {"budgets": {"usd_per_day": usd}}
    async with place_with_remote(home, *script, settings=settings, sections=budgets) as both:
        yield both


async def asked(client: Client, request_id: str, **options: Any) -> Stream:
    return await ask_far(client, request_id, max_tokens=MAX_TOKENS, **options).end()


async def row_of_remote(client: Client, home: Path, request_id: str) -> accounting_pb2.Charge:
    """What the remote was charged with, once nothing is held or reserved any more."""
    rows = await charges_once(client, bool, request_id=request_id)
    (window,) = await client.budget()
    assert window.held == 0
    assert reservations(home / "ledger.sqlite3") == 0
    everything = await charges_once(client, bool)
    assert window.spent == pytest.approx(sum(row.usd for row in everything), abs=NANO_USD)
    (row,) = [row for row in rows if row.plan_kind == plan_pb2.PLAN_KIND_REMOTE]
    return row


async def test_every_legal_stream_gives_the_whole_answer_at_its_price(tmp_path: Path) -> None:
    found = {}
    async with place(tmp_path, *LEGAL.values()) as (remote, client):
        for case in LEGAL:
            heard = await asked(client, case)
            row = await row_of_remote(client, tmp_path, case)
            found[case] = (heard.text, row.finish_reason, row.prompt_tokens, round(row.usd, 9))
            assert heard.notices == [], case
        assert len(remote.requests) == len(LEGAL)
    price = 20 * INPUT_USD + 10 * OUTPUT_USD
    assert found == dict.fromkeys(LEGAL, (TEXT, "end_of_generation", 20, round(price, 9)))


async def test_one_letter_in_each_event_is_not_one_token(tmp_path: Path) -> None:
    text = "The far model says one letter in each of its events, as some servers do."
    script = streams(*map(delta, text), STOP, counted(20, 17), DONE)
    async with place(tmp_path, script) as (_, client):
        heard = await asked(client, "letters")
        row = await row_of_remote(client, tmp_path, "letters")
    assert (heard.text, row.finish_reason) == (text, "end_of_generation")
    assert row.usd == pytest.approx(20 * INPUT_USD + 17 * OUTPUT_USD, abs=NANO_USD)


async def test_counts_are_checked_and_the_dearer_reading_is_paid(tmp_path: Path) -> None:
    found, expected = {}, {}
    async with place(tmp_path, *(reported(report) for report, _ in PAID.values())) as (_, client):
        for case, (_, usd) in PAID.items():
            heard = await asked(client, case)
            row = await row_of_remote(client, tmp_path, case)
            assert heard.finished is not None, (case, heard.error)
            found[case] = (heard.text, round(row.usd, 9))
            by_ourselves = BOUND * INPUT_USD + 10 * OUTPUT_USD
            expected[case] = (TEXT, round(by_ourselves if usd is None else usd, 9))
    assert found == expected


async def test_an_answer_ends_whatever_word_ends_it(tmp_path: Path) -> None:
    script = [streams(*BODY, delta(finish=word), COUNT, DONE) for word, _, _ in ENDS.values()]
    async with place(tmp_path, *script, streams(*BODY, COUNT, DONE)) as (_, client):
        for case, (_, reason, told) in ENDS.items():
            heard = await asked(client, case)
            row = await row_of_remote(client, tmp_path, case)
            assert (heard.text, row.finish_reason) == (TEXT, reason)
            messages = [notice.message for notice in heard.notices]
            assert len(messages) == bool(told)
            assert all(f" with {told}, " in message for message in messages)
        # No word at all, but a count, which comes when an answer has ended.
        heard = await asked(client, "no word")
        (notice,) = heard.notices
    assert heard.text == TEXT
    assert notice.kind == inference_pb2.NOTICE_KIND_FOREIGN_END


ENDLESS = {
    "comments after the end": streams(ROLE, *BODY, STOP, COUNT, PING, REPEAT),
    "silence after the end": streams(ROLE, *BODY, STOP, COUNT, HOLD),
    "comments after [DONE]": streams(ROLE, *BODY, STOP, COUNT, DONE, PING, REPEAT),
    "silence after [DONE]": streams(ROLE, *BODY, STOP, COUNT, DONE, HOLD),
}


async def test_a_connection_that_is_held_open_does_not_hold_the_answer(tmp_path: Path) -> None:
    async with place(tmp_path, *ENDLESS.values()) as (remote, client):
        for number, case in enumerate(ENDLESS, 1):
            since = time.monotonic()
            heard = await asked(client, case)
            seconds = time.monotonic() - since
            row = await row_of_remote(client, tmp_path, case)
            await remote.client_left(number)
            assert (heard.text, row.finish_reason) == (TEXT, "end_of_generation")
            assert row.usd == pytest.approx(20 * INPUT_USD + 10 * OUTPUT_USD, abs=NANO_USD)
            assert seconds < 15.0


STALLS = {
    "never answers": Answer(before=(HOLD,)),
    "silence": streams(HOLD),
    "comments": streams(PING, REPEAT),
    "blank lines": streams(b"\n", REPEAT),
    "pings": streams(event({"type": "ping"}), HOLD),
    "a role and silence": streams(ROLE, HOLD),
    "a role and comments": streams(ROLE, PING, REPEAT),
}


@pytest.mark.parametrize("stall", STALLS)
async def test_a_remote_that_gets_nowhere_is_left_and_every_call_is_paid(
    tmp_path: Path, stall: str
) -> None:
    limits = {"read_timeout_seconds": 0.3, "first_event_timeout_seconds": 0.5, "max_retries": 1}
    script = [STALLS[stall]] * 2
    async with place(tmp_path, *script, **limits) as (remote, client):
        heard = await asked(client, stall)
        row = await row_of_remote(client, tmp_path, stall)
        await remote.client_left(2)
    assert heard.text == SAY
    assert plan_pb2.CLAUSE_FAILED_BEFORE in clauses(heard.decision, "remote:far")
    assert "sent nothing" in heard.notices[0].message
    assert row.outcome == "failed"
    assert row.usd == pytest.approx(2 * CALL_USD, abs=NANO_USD)
    assert row.reserved_usd == pytest.approx(2 * CALL_USD, abs=NANO_USD)


async def test_a_call_that_timed_out_is_paid_beside_the_one_that_answered(tmp_path: Path) -> None:
    script = [Answer(before=(HOLD,)), whole(*BODY)]
    async with place(tmp_path, *script, read_timeout_seconds=1.0) as (remote, client):
        heard = await asked(client, "again")
        row = await row_of_remote(client, tmp_path, "again")
    assert (heard.text, len(remote.requests)) == (TEXT, 2)
    price = CALL_USD + 20 * INPUT_USD + 10 * OUTPUT_USD
    assert row.usd == pytest.approx(price, abs=NANO_USD)
    assert heard.usage.models[0].usd == pytest.approx(price, abs=NANO_USD)


async def test_a_call_is_not_repeated_where_the_budget_has_no_room_for_it(tmp_path: Path) -> None:
    silent = Answer(before=(HOLD,))
    async with place(tmp_path, silent, usd=1.5 * CALL_USD, read_timeout_seconds=0.5) as (
        remote,
        client,
    ):
        heard = await asked(client, "once")
        row = await row_of_remote(client, tmp_path, "once")
    assert len(remote.requests) == 1
    assert heard.text == SAY
    assert "sent nothing for 0.5 s; another try has no room in the budget" in (
        heard.notices[0].message
    )
    assert row.usd == pytest.approx(CALL_USD, abs=NANO_USD)


FREE = {
    "a busy one": (refuses(429, "rate_limit_exceeded", "slow down"), "HEALTH"),
    "an overloaded one": (refuses(503, "overloaded", "later"), "NONE"),
    "no such model": (
        refuses(404, "model_not_found", "The model `big` does not exist"),
        "HEALTH",
    ),
    "no such model, otherwise": (refuses(400, "model_not_found", "no big here"), "HEALTH"),
    "no money": (refuses(402, "insufficient_quota", "pay first"), "HEALTH"),
    "no money in a 200": (
        in_one_piece({"error": {"message": "pay first", "code": "insufficient_quota"}}),
        "HEALTH",
    ),
    "an error first": (streams(event({"error": {"message": "no luck"}})), "NONE"),
}


@pytest.mark.parametrize("refusal", FREE)
async def test_an_error_instead_of_an_answer_is_free_and_told_and_known_to_the_router(
    tmp_path: Path, refusal: str
) -> None:
    reply, health = FREE[refusal]
    async with place(tmp_path, reply, max_retries=0) as (remote, client):
        heard = await asked(client, "first")
        row = await row_of_remote(client, tmp_path, "first")
        second = await asked(client, "second")
    assert (row.usd, row.outcome, heard.text) == (0, "failed", SAY)
    assert "\n" not in heard.notices[0].message
    if health == "NONE":
        assert (second.text, len(remote.requests)) == ("Hello there", 2)
        return
    assert (second.text, len(remote.requests)) == (SAY, 1)
    (rejection,) = candidate(second.decision, "remote:far").rejections
    assert rejection.clause == plan_pb2.CLAUSE_HEALTH


async def test_nobody_waits_longer_for_a_retry_than_the_request_has_time(tmp_path: Path) -> None:
    busy = refuses(429, "rate_limit_exceeded", "slow down", retry_after="20")
    async with place(tmp_path, busy) as (remote, client):
        since = time.monotonic()
        heard = await asked(client, "hurried", latency_ms=300.0)
        seconds = time.monotonic() - since
        row = await row_of_remote(client, tmp_path, "hurried")
    assert (heard.text, row.usd, len(remote.requests)) == (SAY, 0, 1)
    assert seconds < 15.0


async def test_what_one_request_is_told_keeps_the_others_away(tmp_path: Path) -> None:
    busy = refuses(429, "rate_limit_exceeded", "slow down", retry_after="3")
    async with place(tmp_path, busy) as (remote, client):
        first = ask_far(client, "first", max_tokens=MAX_TOKENS)
        async with asyncio.timeout(60):
            while not remote.requests:
                await asyncio.sleep(0)
            while True:
                second = await asked(client, "second")
                if second.text == SAY:
                    break
        await first.end()
    (rejection,) = candidate(second.decision, "remote:far").rejections
    assert rejection.clause == plan_pb2.CLAUSE_HEALTH
    assert rejection.message.startswith("it wants to rest for ")
    assert first.text == "Hello there"
