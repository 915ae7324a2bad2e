"""How a symbol is drawn from a distribution: by the same arithmetic wherever that is done.

``sampler`` is the whole of one answer, with ``penalties`` before and the truncation and the draw of
``candidates`` behind; ``options`` says which options can be served. Nothing here knows a model, a
member or a vote: a row comes in, an id goes out.
"""
