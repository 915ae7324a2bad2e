"""A process beside each worker that turns prompts into tokens and does nothing else.

So no prompt, template or crash of a tokenizer can hold up or end what decodes. ``encoder`` is what
the coordinator asks: it outlives the processes, of which ``life`` is one; ``lanes`` says which
prompt comes next, and ``quarantine`` which one is not tried again. ``main`` and ``serving`` run in
the process itself.
"""
