"""A deterministic toy model with a tiny vocabulary, for tests and for trying things out.

Its log-probs are a pure function of its seed and the whole token context, so that every way of
computing them (batched or alone, chunked, forked, rewound, from a cache) must give the same bits.
It checks its caller like a debug build would, and can be told to fail in every way a real model
fails. It knows no language.
"""
