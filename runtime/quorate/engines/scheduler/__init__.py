"""Continuous batching for models that decode many sequences in one call.

``contract`` is what such a model offers, ``scheduler`` decides what the next call contains.
Everything here is synchronous and has one owner thread.
"""
