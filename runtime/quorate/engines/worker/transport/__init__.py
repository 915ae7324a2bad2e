"""How messages and log-probs travel between the coordinator and a worker.

``contract`` is what the coordinator asks of any way, and ``local`` the one there is: a process on
this machine, messages over a socket pair (``link``, and in the worker ``worker_end``), log-probs
in sealed shared memory. Everything above knows the contract only.
"""
