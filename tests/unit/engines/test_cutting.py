"""How tokenizers are told apart that have the same tokens."""

from __future__ import annotations

from quorate.engines.cutting import PROBES, cutting_digest


def test_equal_tokens_give_equal_digests() -> None:
    assert cutting_digest(lambda text: list(text.encode())) == cutting_digest(
        lambda text: tuple(text.encode())
    )


def test_another_cut_of_one_text_shows() -> None:
    def other(text: str) -> list[int]:
        tokens = list(text.encode())
        return tokens[:-1] if text == PROBES[-1] else tokens

    assert cutting_digest(other) != cutting_digest(lambda text: list(text.encode()))


def test_a_token_that_moves_to_the_next_text_shows() -> None:
    moved = dict(zip(PROBES, ([1], [2, 3]), strict=False))
    kept = dict(zip(PROBES, ([1, 2], [3]), strict=False))
    assert cutting_digest(lambda text: moved.get(text, [])) != cutting_digest(
        lambda text: kept.get(text, [])
    )
