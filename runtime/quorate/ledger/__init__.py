"""What requests cost: usage, the ledger of charges, budgets and prices.

The room counts and keeps; it decides nothing about plans and calls nobody. Dollars are ``Decimal``
in memory and whole nano-dollars on disk; see ``money``.
"""
