"""One token through a model that was just loaded, before anybody asks it something.

What a header does not say shows here: a network that computes no logits, whose rows would be
whatever the memory held before; weights that hold NaN; weights that are all zero.
"""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
from llama_cpp import llama_cpp as native

from quorate.engines.llama_cpp.native_log import LOG
from quorate.engines.row_objections import objection
from quorate.errors import ModelUnusable

_TOKEN = 0


def check_first_row(weights: ctypes.c_void_p, context: ctypes.c_void_p, subject: str) -> None:
    """Refuses a model whose first row of logits is none; leaves the context empty, as it was.

    Raises:
        ModelUnusable: Nothing was computed, or no numbers, or the same number for every token.
    """
    # Only what the second call overwrites was computed.
    _first_row(weights, context, subject).fill(np.nan)
    logits = _first_row(weights, context, subject)
    if problem := objection(logits):
        raise ModelUnusable(subject, problem)


def _first_row(
    weights: ctypes.c_void_p, context: ctypes.c_void_p, subject: str
) -> npt.NDArray[np.float32]:
    LOG.clear()
    token = (native.llama_token * 1)(_TOKEN)
    status = native.llama_decode(context, native.llama_batch_get_one(token, 1))
    native.llama_memory_clear(native.llama_get_memory(context), True)
    if status:
        cause = LOG.cause("llama.cpp gives no reason")
        raise ModelUnusable(subject, f"it cannot decode a token ({status}): {cause}")
    row = native.llama_get_logits_ith(context, -1)
    if not row:
        raise ModelUnusable(subject, "it computes no logits: it is no decoder of text")
    width = native.llama_vocab_n_tokens(native.llama_model_get_vocab(weights))
    return np.ctypeslib.as_array(row, (width,))
