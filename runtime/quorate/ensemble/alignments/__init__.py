"""Alignments: what the members of an ensemble compare.

``contract`` says what an alignment is; ``tokens``, ``bytes`` and ``union`` are the alignments there
are. The decode loop, the failure policies, fusion and sampling know none of them.
"""
