"""Joules: counters of this machine, and who spent what of them.

Counters know the whole machine and nothing of requests. ``meter`` reads them at the ends of
windows, where a request begins or ends and once a second besides, so that nothing is paid for it
per token. ``account`` follows one counter, and ``attribution`` divides what it rose by: idle power
first, as learned while nothing runs, then by the CPU time of the models' workers, then by the work
of each request. Energy is conserved: what requests, the idle machine and nobody in particular were
given adds up to what the counters rose by, always.

``rapl``, ``nvml``, ``zeus`` and ``estimate`` are the sources of counters; a new one is a file like
them and a line in ``open_meter``.
"""
