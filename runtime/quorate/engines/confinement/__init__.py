"""What a process that reads model files may do: little, since strangers wrote them.

``environment`` says which variables it inherits. ``plan`` is what the coordinator decides, before
the process starts; ``confine`` is what the process does to itself before it imports or reads
anything, by ``privileges`` (limits, capabilities, order of death), ``landlock`` (files, signals),
``system_calls`` (sockets, other processes) and ``loopback`` (a network of its own). Only standard
library is imported here, and little of that: it is paid for at every start of a worker.
"""
