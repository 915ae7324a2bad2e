"""Guides: what the grammar of an answer allows next, from a process for each vocabulary.

A grammar is a stranger's program. Some of those that fit into a request take seconds to compile,
and some end the process that reads them; the table of a vocabulary takes most of a second to build,
with the interpreter held. So llguidance runs in processes of its own, which may die of it.
"""
