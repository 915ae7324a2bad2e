from __future__ import annotations

import math

import pytest

from quorate.dispatch.signals import SignalReader
from quorate.request import Delta, ResponseOptions, Token, TopCandidate, Vote
from quorate.routing.confidence import Signals


def token(logprob: float, *shares: float, votes: str = "") -> Token:
    """A token ``x`` with these candidates, and a vote for each letter."""
    top = tuple(TopCandidate(index, b"?", math.log(p)) for index, p in enumerate(shares))
    cast = tuple(Vote(name, name.encode(), -0.1, 0.5, -0.2) for name in votes)
    return Token(1, b"x", logprob, top, cast)


def read(*tokens: Token, shown: ResponseOptions | None = None) -> tuple[SignalReader, Delta]:
    reader = SignalReader(shown or ResponseOptions(), 99)
    return reader, reader.read(Delta("x" * len(tokens), tokens))


def test_signals_are_means_over_the_tokens() -> None:
    reader, _ = read(token(-0.5, 0.5, 0.25, votes="xx"), token(-1.5, 0.75, 0.125, votes="xy"))
    first = 0.5 * math.log(2) + 0.25 * math.log(4)
    second = -0.75 * math.log(0.75) + 0.125 * math.log(8)
    assert reader.signals() == Signals(
        mean_logprob=-1.0,
        least_logprob=-1.5,
        margin=pytest.approx((0.25 + 0.625) / 2),
        entropy=pytest.approx((first + second) / 2),
        disagreement=0.5,
        log_prompt_bytes=pytest.approx(math.log(100)),
    )


def test_an_answer_without_a_token_is_all_sure() -> None:
    reader, _ = read()
    assert reader.signals() == Signals(log_prompt_bytes=pytest.approx(math.log(100)))


@pytest.mark.parametrize(("shares", "margin"), [((), 1.0), ((0.9,), 0.9), ((0.5, 0.5), 0.0)])
def test_the_margin_is_between_the_best_two(shares: tuple[float, ...], margin: float) -> None:
    reader, _ = read(token(-0.1, *shares))
    assert reader.signals().margin == pytest.approx(margin)


@pytest.mark.parametrize(
    ("shown", "needed", "left"),
    [
        (ResponseOptions(), ResponseOptions(5, True), (0, 0)),
        (ResponseOptions(2, False), ResponseOptions(5, True), (2, 0)),
        (ResponseOptions(0, True), ResponseOptions(5, True), (0, 2)),
        (ResponseOptions(9, True), ResponseOptions(9, True), (3, 2)),
    ],
)
def test_what_is_asked_for_beside_is_taken_out_again(
    shown: ResponseOptions, needed: ResponseOptions, left: tuple[int, int]
) -> None:
    reader, delta = read(token(-0.5, 0.5, 0.3, 0.1, votes="xy"), shown=shown)
    assert reader.needed == needed
    assert (len(delta.tokens[0].top), len(delta.tokens[0].votes)) == left
    assert delta.text == "x"
