"""The threads that compute, each on a core of its own where there are as many cores.

Between any two of the hundreds of operations of a decode call the threads wait for each other. The
kernel does not know that: while another process wants a core, it may well let two threads of a
model share the other one, and then every operation takes a turn of the scheduler. A call of 20 ms
takes 400 ms so; with a thread on each core it takes three times as long at worst.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Any

from llama_cpp import llama_cpp as native

_MOST_CORES = 512
_USUAL_POLL = 50
_PROCESSOR = 0


class _Parameters(ctypes.Structure):
    """``ggml_threadpool_params``."""

    _fields_ = (
        ("cpumask", ctypes.c_bool * _MOST_CORES),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    )


class Threads:
    """The threads of one context. Used by the thread that decodes.

    Args:
        context: The native context.
    """

    def __init__(self, context: ctypes.c_void_p) -> None:
        self._context = context
        # Kept as long as the context, which may look at one that it no longer uses.
        self._pools: dict[tuple[int, ...], int | None] = {}

    def use(self, count: int) -> None:
        """Computes with so many threads from the next call on, wherever this thread may run now."""
        native.llama_set_n_threads(self._context, count, count)
        cores = tuple(sorted(os.sched_getaffinity(0)))
        pool = None
        if count == len(cores) > 1:
            if cores not in self._pools:
                self._pools[cores] = _pool(cores)
            pool = self._pools[cores]
        attach = _library_function("llama_attach_threadpool", None, 3)
        if attach is not None:
            attach(self._context, pool, pool)

    def free(self) -> None:
        """Frees what the context used, which must be gone. Idempotent."""
        free = _processor_function("ggml_threadpool_free", None)
        while self._pools:
            _, pool = self._pools.popitem()
            if pool is not None and free is not None:
                free(pool)


def _pool(cores: tuple[int, ...]) -> int | None:
    """Threads with a core each; None where this build has other words for that."""
    begin = getattr(native._lib, "ggml_threadpool_params_init", None)
    make = _processor_function("ggml_threadpool_new", ctypes.c_void_p)
    if begin is None or make is None or cores[-1] >= _MOST_CORES:
        return None
    parameters = _Parameters()
    begin(ctypes.byref(parameters), ctypes.c_int(len(cores)))
    known = (len(cores), 0, _USUAL_POLL, False)
    if (parameters.n_threads, parameters.prio, parameters.poll, parameters.strict_cpu) != known:
        return None
    for core in cores:
        parameters.cpumask[core] = True
    parameters.strict_cpu = True
    pool: int | None = make(ctypes.addressof(parameters))
    return pool


def _processor_function(name: str, result: Any) -> Callable[..., Any] | None:
    """A function of the part that computes on processors, which may be a library of its own."""
    device_of = _library_function("ggml_backend_dev_by_type", ctypes.c_void_p, 1)
    registry_of = _library_function("ggml_backend_dev_backend_reg", ctypes.c_void_p, 1)
    find = _library_function("ggml_backend_reg_get_proc_address", ctypes.c_void_p, 2)
    if device_of is None or registry_of is None or find is None:
        return None
    address = find(registry_of(device_of(_PROCESSOR)), name.encode())
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p)(address) if address else None


def _library_function(name: str, result: Any, arguments: int) -> Callable[..., Any] | None:
    if not hasattr(native._lib, name):
        return None
    return ctypes.CFUNCTYPE(result, *[ctypes.c_void_p] * arguments)((name, native._lib))
