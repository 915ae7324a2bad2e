"""What a vote takes on this machine: time, energy and lengths, learned from the requests.

A *model* is a frozen value, what is known at one moment, which the router reads. A *learner* owns
what the next model is made from and changes with each observation. Both come in pairs:

- ``prediction`` and ``run_learner``: time and energy of a run of a given shape.
- ``lengths``: how long answers get.
- ``prompts``: how many tokens a prompt will have, and how many of them are cached.
- ``cost_model``: all of that for one vote or remote (``CostModel``), and for all (``CostModels``).

Below them ``regression``, ``residuals`` and ``fit`` are the statistics, ``machine`` says on which
kind of machine something was learned, and ``store`` keeps it in a file of ``saved`` values.
"""
