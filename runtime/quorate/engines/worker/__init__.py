"""One spawned worker process per model, and the coordinator's side of it.

A native abort takes down one model and never the service, and the end of a process is the only sure
release of its memory. ``engine`` is what the vote uses, ``supervisor`` keeps the process alive,
``incarnation`` is one life of it, ``worker`` is what runs inside. Control messages cross a socket
pair (``messages``), log-probs cross shared memory (``shared_rows``). This room knows nothing of
plans, and of the models only the name under which ``builders`` finds them.
"""
