"""Dollars, exactly.

An amount is a ``Decimal`` in USD with at most nine decimals. Python refuses to mix it with floats,
so no rounding can creep in unseen. SQLite has no decimals, and only its integers add up exactly in
any order: there, and in the windows of a budget, an amount is a whole number of nano-dollars. A
float appears only where an amount leaves the runtime, in a response or an export.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal

from quorate.errors import Internal

_NANO = Decimal("1e-9")
_LARGEST = Decimal("1e18")
# Enough digits for the largest amount, so that nothing but the nano-dollar ever rounds.
_EXACT = Context(prec=38, rounding=ROUND_CEILING)


def round_up(usd: Decimal) -> Decimal:
    """The amount in USD to the nano-dollar, rounded up, so that a limit is never passed unseen.

    Raises:
        Internal: Not an amount at all, such as infinity, or 1e18 and more.
    """
    if usd.is_finite() and abs(usd) < _LARGEST:
        return usd.quantize(_NANO, context=_EXACT)
    raise Internal(f"{usd} is no amount of USD that can be counted")


def to_nano_usd(usd: Decimal) -> int:
    """An amount in USD as nano-dollars, rounded up."""
    return int(round_up(usd).scaleb(9, context=_EXACT))


def from_nano_usd(nano_usd: int) -> Decimal:
    """Nano-dollars as an amount in USD, exactly."""
    return Decimal(nano_usd).scaleb(-9, context=_EXACT)


def from_float(usd: float) -> Decimal:
    """An amount that a person wrote as a decimal number, such as 0.1, without the float's tail."""
    return Decimal(str(usd))
