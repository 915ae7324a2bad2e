"""Members that are not asked at every step owe what was chosen, and read it together later."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import Any, Protocol, TypeVar

from quorate.engines.contract import LogProbs
from quorate.ensemble.member import Member

_Symbol = TypeVar("_Symbol")
_OwedSymbol = TypeVar("_OwedSymbol", contravariant=True)


class OwesSymbols(Protocol[_OwedSymbol]):
    """The part of a predictor that such a member needs beside ``Predictor``."""

    @property
    def owed(self) -> int:
        """Tokens that it owes."""
        ...

    def owe(self, symbol: _OwedSymbol) -> None:
        """Takes a chosen symbol and computes nothing: it is fed together with the next one."""
        ...

    def catch_up(self) -> Awaitable[LogProbs]:
        """Starts on what follows the symbols that it owes."""
        ...


def owe(members: Iterable[Member[_Symbol]], symbol: _Symbol) -> None:
    """Has members owe a symbol."""
    for member in members:
        _owing(member).owe(symbol)


def catch_up(members: Iterable[Member[_Symbol]]) -> list[Awaitable[LogProbs]]:
    """Starts members on what follows the symbols that they owe."""
    return [_owing(member).catch_up() for member in members]


def most_owed(members: Iterable[Member[_Symbol]]) -> int:
    """Tokens that the member owes which owes most."""
    return max(_owing(member).owed for member in members)


def _owing(member: Member[_Symbol]) -> OwesSymbols[_Symbol]:
    predictor: Any = member.predictor
    owing: OwesSymbols[_Symbol] = predictor
    return owing
