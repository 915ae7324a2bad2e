from __future__ import annotations

from contextlib import ExitStack

import pytest

from quorate.dispatch.callers import Bucket, Callers
from quorate.dispatch.settings import CallerLimits
from quorate.engines.fair_turns import CALLER
from quorate.errors import LimitReached
from quorate.request import Delta, Finished, FinishReason, Request, TextPrompt, Token, Usage

NOW = [0.0]


@pytest.fixture(autouse=True)
def _clock() -> None:
    NOW[0] = 0.0


def callers(**limits: CallerLimits) -> Callers:
    return Callers(limits, lambda: NOW[0])


def asked(key: str = "alice", prompt: str = "12345678", origin: str = "") -> Request:
    return Request(TextPrompt(prompt), key=key, origin=origin)


def delta(tokens: int) -> Delta:
    return Delta("x", (Token(1, b"x", -0.5),) * tokens)


def finished(prompt_tokens: int, generated_tokens: int) -> Finished:
    return Finished(
        FinishReason.END_OF_GENERATION, Usage(prompt_tokens, generated_tokens, 1.0, 2.0)
    )


def refusal(some: Callers, request: Request) -> LimitReached:
    with pytest.raises(LimitReached) as caught, some.request(request):
        pass
    return caught.value


def test_a_key_has_so_many_requests_open_and_no_more() -> None:
    some = callers(alice=CallerLimits(max_requests=2), bob=CallerLimits())
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(some.request(asked()))
        refused = refusal(some, asked())
        for _ in range(5):
            stack.enter_context(some.request(asked("bob")))
    assert refused.limit == "max_requests of key alice"
    assert refused.metadata["limit"] == refused.limit
    with some.request(asked()):
        pass


def test_requests_by_the_minute_come_back_one_by_one() -> None:
    some = callers(alice=CallerLimits(requests_per_minute=30))
    for _ in range(30):
        with some.request(asked()):
            pass
    refused = refusal(some, asked())
    assert refused.limit == "requests_per_minute of key alice"
    assert refused.retry_after_seconds == pytest.approx(2.0)
    NOW[0] += 2.0
    with some.request(asked()):
        pass
    refusal(some, asked())


def test_what_was_refused_costs_nothing() -> None:
    some = callers(alice=CallerLimits(requests_per_minute=1))
    with some.request(asked()):
        pass
    for _ in range(100):
        refusal(some, asked())
    NOW[0] += 60.0
    with some.request(asked()):
        pass


def test_tokens_count_while_they_are_generated_and_debts_are_paid_off() -> None:
    some = callers(alice=CallerLimits(tokens_per_minute=60))
    with some.request(asked()) as tally:
        for _ in range(10):
            tally.count(delta(9))
        # Beside it, before it has ended.
        assert refusal(some, asked()).limit == "tokens_per_minute of key alice"
        tally.count(finished(prompt_tokens=2, generated_tokens=90))
    assert refusal(some, asked()).retry_after_seconds == pytest.approx(33.0)
    NOW[0] += 33.0
    with some.request(asked()):
        pass


@pytest.mark.parametrize("ended", [False, True])
def test_what_was_computed_and_never_told_counts_as_well(ended: bool) -> None:
    some = callers(alice=CallerLimits(tokens_per_minute=60))
    with some.request(asked()) as tally:
        tally.count(delta(10))
        if ended:
            tally.count(finished(3, 10))
        tally.computed(90)
    assert refusal(some, asked()).retry_after_seconds == pytest.approx(34.0)


def test_a_prompt_counts_by_its_size_until_its_tokens_are_known() -> None:
    some = callers(alice=CallerLimits(tokens_per_minute=60))
    with some.request(asked(prompt="x" * 400)) as tally:
        assert refusal(some, asked()).retry_after_seconds == pytest.approx(42.0)
        tally.count(finished(prompt_tokens=10, generated_tokens=0))
    with some.request(asked()):
        pass


def test_who_cancels_has_read_its_prompt_all_the_same() -> None:
    some = callers(alice=CallerLimits(tokens_per_minute=60))
    with pytest.raises(ZeroDivisionError), some.request(asked(prompt="x" * 400)):
        raise ZeroDivisionError
    refusal(some, asked())


def test_without_limits_nothing_is_limited() -> None:
    some = callers(alice=CallerLimits())
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(some.request(asked())).count(delta(1000))


def test_turns_go_by_key_and_without_one_by_origin() -> None:
    some = callers(alice=CallerLimits(weight=3.0), bob=CallerLimits())
    with some.request(asked()):
        assert (CALLER.get().name, CALLER.get().weight) == ("key alice", 3.0)
        # Whoever else has a key may come at any time.
        assert CALLER.get().shares
    with callers().request(asked("", origin="ipv4:192.0.2.7")):
        assert (CALLER.get().name, CALLER.get().shares) == ("ipv4:192.0.2.7", False)


def test_a_bucket_holds_a_minutes_worth_and_no_more() -> None:
    bucket = Bucket(60.0, lambda: NOW[0])
    NOW[0] += 3600.0
    bucket.take(60.0)
    assert bucket.wait_seconds(1.0) == pytest.approx(1.0)
    bucket.take(-1000.0)
    assert bucket.wait_seconds(60.0) == 0.0


def test_limits_that_change_keep_who_is_open_and_what_a_bucket_holds() -> None:
    some = callers(alice=CallerLimits(max_requests=1, requests_per_minute=2))
    with some.request(asked()):
        some.change({"alice": CallerLimits(max_requests=2, requests_per_minute=2)})
        with some.request(asked()):
            assert "max_requests" in refusal(some, asked()).message
        assert "requests_per_minute" in refusal(some, asked()).message
        some.change({"alice": CallerLimits(max_requests=2, requests_per_minute=5)})
        with some.request(asked()):
            pass
    some.change({})
    with ExitStack() as stack:
        for _ in range(9):
            stack.enter_context(some.request(asked()))
