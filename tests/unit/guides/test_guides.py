"""Grammars are followed in a process of its own, which may die of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from quorate.engines.confinement.plan import Isolation
from quorate.engines.vocabulary import BYTES, END, Vocabulary
from quorate.errors import InvalidRequest, Unavailable
from quorate.guides.guide import Guide, GuideSession, Seen
from quorate.guides.guides import Guides
from quorate.request import ConstraintKind, OutputConstraint

DEADLINE_SECONDS = 60.0
WORDS = Vocabulary(
    pieces=(b"", b"a", b"b", b"ab", b"abc", b"{", b"}"),
    control=frozenset({0}),
    end_of_generation=frozenset({0}),
)


def regex(text: str) -> OutputConstraint:
    return OutputConstraint(ConstraintKind.REGEX, text)


def schema(text: str) -> OutputConstraint:
    return OutputConstraint(ConstraintKind.JSON_SCHEMA, text)


def grammar(text: str) -> OutputConstraint:
    return OutputConstraint(ConstraintKind.GRAMMAR, text)


def symbols(seen: Seen, size: int) -> set[int]:
    assert seen.bits is not None
    return {*np.flatnonzero(np.unpackbits(seen.bits, bitorder="little")[:size]).tolist()}


@asynccontextmanager
async def opened(
    constraint: OutputConstraint, vocabulary: Vocabulary = BYTES
) -> AsyncIterator[tuple[GuideSession, Guides]]:
    guides = Guides()
    async with asyncio.timeout(DEADLINE_SECONDS):
        try:
            session = await guides.open(constraint, vocabulary)
            try:
                yield session, guides
            finally:
                session.close()
        finally:
            await guides.close()


async def refusal(constraint: OutputConstraint) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as refused:
        async with opened(constraint):
            pass
    return refused.value


async def stop(guide: Guide) -> int:
    """Stops its process, which answers nothing from then on; returns its id."""
    assert guide.pid is not None
    os.kill(guide.pid, signal.SIGSTOP)
    while Path(f"/proc/{guide.pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] != "T":
        await asyncio.sleep(0.001)
    return guide.pid


async def accepted(session: GuideSession, taken: Sequence[int]) -> Seen:
    for symbol in taken:
        session.accept(symbol)
    return await session.seen()


async def test_what_may_come_next_is_what_the_grammar_allows() -> None:
    async with opened(regex("ab?c")) as (session, _):
        assert symbols(await session.seen(), 257) == {ord("a")}
        assert symbols(await accepted(session, b"a"), 257) == {ord("b"), ord("c")}
        assert symbols(await accepted(session, b"b"), 257) == {ord("c")}
        assert await accepted(session, b"c") == Seen(None, complete=True)


async def test_an_end_may_come_where_the_text_is_whole_and_may_go_on() -> None:
    async with opened(regex("a+")) as (session, _):
        assert symbols(await accepted(session, b"a"), 257) == {ord("a"), END}


async def test_tokens_of_several_bytes_are_allowed_where_all_of_their_bytes_are() -> None:
    async with opened(regex("abc?"), WORDS) as (session, _):
        assert symbols(await session.seen(), len(WORDS)) == {1, 3, 4}
        assert symbols(await accepted(session, [3]), len(WORDS)) == {0}


async def test_what_was_foreseen_is_known_once_it_is_accepted() -> None:
    async with opened(regex("abc")) as (session, _):
        session.foresee(b"a")
        session.foresee(b"ab")
        session.foresee(b"ax")
        assert symbols(await session.seen(), 257) == {ord("a")}
        assert symbols(await accepted(session, b"a"), 257) == {ord("b")}
        assert symbols(await accepted(session, b"b"), 257) == {ord("c")}


@pytest.mark.parametrize(
    ("constraint", "told"),
    [
        (schema('{"type": "frob"}'), "Invalid type: frob"),
        (
            schema('{"properties": {"a/b": {"items": {"not": {}}}}}'),
            'at /properties/a~1b/items: Unimplemented keys: ["not"]',
        ),
        (
            schema('{"$ref": "#/$defs/x", "$defs": {"x": {"oneOf": [{}, {"type": "frob"}]}}}'),
            "at /$defs/x/oneOf/1",
        ),
        (
            schema('{"properties": {"s": {"type": "frob"}}, "additionalProperties": false}'),
            "at /properties/s: Invalid type: frob",
        ),
        (
            schema(r'{"properties": {"s": {"type": "string", "pattern": "a\\"}}}'),
            "at /properties/s: a pattern ends with a lone backslash",
        ),
        (
            schema(r'{"items": {"patternProperties": {"b\\": {}}}}'),
            "at /items: a pattern ends with a lone backslash",
        ),
        (schema('{"type":'), "Expecting value: line 1 column 9"),
        (regex("a(?=b)"), "look-ahead"),
        (grammar("start: x"), 'unknown name: "x"'),
        (grammar("start: <|eot|>"), "cannot be read"),
    ],
    ids=[
        "type",
        "place",
        "shared",
        "beside false",
        "escape",
        "escaped name",
        "no JSON",
        "regex",
        "grammar",
        "panic",
    ],
)
async def test_what_cannot_be_followed_is_refused_with_its_place(
    constraint: OutputConstraint, told: str
) -> None:
    error = await refusal(constraint)
    assert error.field == constraint.kind.value
    assert told in error.problem
    assert "\n" not in error.problem


@pytest.mark.parametrize("space", [b" ", b"\n" + b" " * 20], ids=["in a line", "indented"])
async def test_white_space_between_parts_of_json_comes_to_an_end(space: bytes) -> None:
    async with opened(schema('{"type": "object"}')) as (session, _):
        assert ord(" ") in symbols(await accepted(session, b"{"), 257)
        assert ord(" ") not in symbols(await accepted(session, space), 257)


ENDLESS = schema('{"type": "integer", "multipleOf": 9999991}')


async def test_what_takes_too_long_to_compile_is_refused_and_remembered() -> None:
    async with opened(regex("[ab]+c")) as (session, guides):
        session.accept(ord("a"))
        with pytest.raises(InvalidRequest, match="takes too long to be followed"):
            await guides.check(ENDLESS, "mallory")
        trials = [one.pid for one in guides._trials]
        with pytest.raises(InvalidRequest):
            await guides.check(ENDLESS, "other")
        # Nothing was tried again.
        assert [one.pid for one in guides._trials] == trials
        assert symbols(await accepted(session, b"b"), 257) == {*b"abc"}
        await guides.check(regex("a"), "alice")


@pytest.mark.parametrize(
    "constraint",
    [
        schema(json.dumps({"properties": {"\ud800": {"type": "frob"}}})),
        grammar("start: " + "(" * 20_000),
        grammar("start: <|eot|>"),
    ],
    ids=["no text", "nested", "panic"],
)
async def test_whatever_becomes_of_a_grammar_is_told(constraint: OutputConstraint) -> None:
    guides = Guides()
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(InvalidRequest):
            await guides.check(constraint, "")
        pids = [one.pid for one in guides._trials]
        await guides.check(regex("a"), "")
        assert [one.pid for one in guides._trials] == pids
        await guides.close()


@pytest.mark.parametrize("nothing", [r"[^\s\S]", r"a[^\s\S]"])
async def test_what_no_text_can_be_is_refused_as_that(nothing: str) -> None:
    guides = Guides()
    async with asyncio.timeout(DEADLINE_SECONDS):
        with pytest.raises(InvalidRequest, match="matches no text"):
            await guides.check(regex(nothing), "")
        await guides.close()


async def test_slow_grammars_of_many_callers_keep_nobody_from_a_quick_one() -> None:
    guides = Guides()
    slow = [schema(f'{{"type": "integer", "multipleOf": {9_999_991 - 2 * at}}}') for at in range(6)]
    async with asyncio.timeout(DEADLINE_SECONDS):
        tried = [asyncio.create_task(guides.check(one, at)) for at, one in enumerate(slow)]
        await asyncio.sleep(0)
        await guides.check(regex("ok"), "innocent")
        ended = await asyncio.gather(*tried, return_exceptions=True)
        assert {type(one) for one in ended} <= {InvalidRequest}
        await guides.close()


async def test_who_leaves_while_a_grammar_is_compiled_leaves_nothing() -> None:
    guide = Guide(BYTES, Isolation())
    async with asyncio.timeout(DEADLINE_SECONDS):
        for wait in (0.0, 0.01, 0.3, 1.0):
            opening = asyncio.create_task(guide.open(regex("a")))
            await asyncio.sleep(wait)
            if opening.done():
                opening.result().close()
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        assert guide.sessions == 0
        session = await guide.open(regex("ab"))
        assert symbols(await accepted(session, b"a"), 257) == {ord("b")}
        session.close()
        await guide.close()
    assert guide.pid is None


async def test_a_guide_that_is_closed_while_it_starts_tells_who_waits() -> None:
    guide = Guide(BYTES, Isolation())
    async with asyncio.timeout(DEADLINE_SECONDS):
        opening = asyncio.create_task(guide.open(regex("a")))
        await asyncio.sleep(0.01)
        await guide.close()
        with pytest.raises(Unavailable):
            await opening
        with pytest.raises(Unavailable):
            await guide.open(regex("a"))
    assert guide.pid is None and guide.sessions == 0


async def test_a_process_that_is_killed_is_replaced_unnoticed_by_whoever_asks_next() -> None:
    guide = Guide(BYTES, Isolation())
    async with asyncio.timeout(DEADLINE_SECONDS):
        asks, idles = await guide.open(regex("abc")), await guide.open(regex("xyz"))
        idles.accept(ord("x"))
        await idles.seen()
        pid = await stop(guide)
        asks.accept(ord("a"))
        os.kill(pid, signal.SIGKILL)
        assert symbols(await asks.seen(), 257) == {ord("b")}
        # It was asked nothing when that happened, and its number is of another life.
        idles.accept(ord("y"))
        assert symbols(await idles.seen(), 257) == {ord("z")}
        assert symbols(await accepted(asks, b"b"), 257) == {ord("c")}
        for session in (asks, idles):
            session.close()
        await guide.close()
    assert guide.sessions == 0


async def test_whose_question_was_first_when_two_processes_died_is_refused() -> None:
    guide = Guide(BYTES, Isolation())
    async with asyncio.timeout(DEADLINE_SECONDS):
        session, other = await guide.open(regex("a+")), await guide.open(regex("a+"))
        for last in (False, True):
            for one in (session, other):
                await one.seen()
            pid = await stop(guide)
            session.accept(ord("a"))
            other.accept(ord("a"))
            os.kill(pid, signal.SIGSEGV)
            os.kill(pid, signal.SIGCONT)
            if not last:
                await session.seen()
            assert symbols(await other.seen(), 257) == {ord("a"), END}
        with pytest.raises(InvalidRequest, match=r"cannot be followed \(killed by SIGSEGV\)"):
            await session.seen()
        session.close()
        other.close()
        await guide.close()


async def test_kills_from_outside_are_nobody_s_fault() -> None:
    guide = Guide(BYTES, Isolation())
    async with asyncio.timeout(DEADLINE_SECONDS):
        session = await guide.open(regex("a+"))
        for _ in range(3):
            await session.seen()
            pid = await stop(guide)
            session.accept(ord("a"))
            os.kill(pid, signal.SIGKILL)
        assert symbols(await session.seen(), 257) == {ord("a"), END}
        session.close()
        await guide.close()


async def test_guides_that_nobody_uses_make_room_for_others() -> None:
    guides = Guides()
    held = await guides.open(regex("a"), BYTES)
    pids = []
    for at in range(6):
        pieces = (*WORDS.pieces, b"x%d" % at)
        vocabulary = Vocabulary(pieces, WORDS.control, WORDS.end_of_generation)
        (await guides.open(regex("a"), vocabulary)).close()
        pids.append([guide.pid for guide in guides._guides.values()])
    assert max(map(len, pids)) == 4
    assert symbols(await held.seen(), 257) == {ord("a")}
    held.close()
    await guides.close()
