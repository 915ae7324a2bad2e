"""Engines: what turns tokens into next-token log-probs.

``contract`` says what the vote may ask of an engine; its siblings fulfil it. ``batching`` holds the
scheduler every batched model shares, ``host`` runs one model in a process of its own, ``scripted``
and ``llama_cpp`` are the models. Heavy libraries are imported inside the worker process only.
"""
