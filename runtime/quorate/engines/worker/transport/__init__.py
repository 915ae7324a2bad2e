"""How messages and log-probs travel between the coordinator and a worker.

``contract`` is what the coordinator asks of any way, and ``local`` the one there is: a process on
this machine, messages over a socket pair (``link``, and in the worker ``worker_end``), log-probs
in sealed shared memory. ``engine`` chooses the way; the handle and all above it know the contract
only, and in the worker only its entry point knows what it was given.
"""
