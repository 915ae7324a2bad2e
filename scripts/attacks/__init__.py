"""Attacks on a server of one's own: ``scripts/attack``.

A case is a plain function in a module of this package, marked by ``attacks.frame.cases.attack``.
The package ``frame`` serves, measures the neighbour, runs the case in a process of its own, and
prints what came of it.
"""
