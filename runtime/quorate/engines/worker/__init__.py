"""One spawned worker process per model, and the coordinator's side of it.

A native abort takes down one model and never the service, and the end of a process is the only sure
release of its memory. ``engine`` is what the vote uses, ``supervisor`` keeps the process alive,
``handle`` is one life of it with its ``session_table``, and ``worker`` is what runs inside. What
they say is in ``messages``; how that and the log-probs travel is known to ``transport`` alone. This
room knows nothing of plans, and of engines only the name by which ``engines.registry`` finds them.
"""
