"""Engines: what turns tokens into next-token log-probs.

``contract`` says what the vote may ask of an engine, and ``session`` fulfils it for whatever does
the work. ``scheduler`` is what every batched model shares, ``worker`` runs one model in a process
of its own, ``scripted``, ``llama_cpp`` and ``vllm`` are the models. Heavy libraries are imported
inside the worker process only.
"""
