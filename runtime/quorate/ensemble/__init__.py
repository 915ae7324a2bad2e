"""The vote: members' next-symbol distributions become one, and one symbol is chosen from it.

``assembly`` makes an ``Ensemble`` of a decision and a prompt; ``decode`` is the loop over it, for
sampling and for scoring, and ``plain_generation`` what takes its place where one member alone can
do without. ``alignments`` say what a symbol is, ``constraint`` what may come next. ``fusion``
mixes and ``weighting`` weighs; ``stops``, ``text`` and ``transcript`` turn the chosen symbols into
text. None of these knows a network, or which plan was considered beside it.
"""
