"""Quorate beside other programs that run the same weights, in one run."""
