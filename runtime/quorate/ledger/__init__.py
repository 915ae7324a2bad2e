"""What requests cost: the ledger of charges, budgets and prices.

The room counts and keeps; it decides nothing about plans and calls nobody. Dollars are ``Decimal``
in memory and whole nano-dollars on disk; see ``money``.

Each attempt is held, reserved and settled. ``Budgets.hold`` sets aside in memory what it may take,
and ``Ledger.reserve`` writes that down before anything is spent. At its end ``Budgets.settle``
counts what it did take in place of the hold, in one step of the event loop, and ``Ledger.settle``
puts the charge in the place of the reservation, in one transaction that is on disk before anybody
is told that the answer is finished. A process that dies loses the windows, which are filled anew
from the charges, and leaves reservations, which become charges with the outcome ``lost``.
"""
