"""Joules: counters of this machine, and who spent what of them."""
