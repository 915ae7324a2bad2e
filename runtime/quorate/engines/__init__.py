"""Engines: what turns tokens into next-token log-probs.

``contract`` says what the vote may ask of an engine. Every batched model shares ``scheduler``;
``worker`` runs one model in a process of its own; ``registry`` finds the folders that are engines.
Heavy libraries are imported inside the worker process only.
"""
