"""Byte voices over scripted engines, and a look inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from quorate.engines.contract import LogProbs
from quorate.engines.scripted.tokenizer import BOS
from quorate.ensemble.byte_voice import ByteVoice, Opening, Pruning
from support.in_process import InProcessEngine
from support.scripted_models import scripted_engine

BPE = ("a", "b", "c", "ab", "bc", "abc")
OVERLAPPING = ("a", "ab", "aba", "b", "ba", "bab")
DUPLICATED = ("a", "b", "ab", "a", "ab")
VOCABULARIES = {"bpe": BPE, "overlapping": OVERLAPPING, "duplicated": DUPLICATED}

CONTEXT = 64


def toy_engine(pieces: Sequence[str] = BPE, **options: Any) -> InProcessEngine:
    """An engine over a toy vocabulary, with room for wide beams."""
    room = {"context_length": CONTEXT, "sessions": 64}
    return scripted_engine(pieces=list(pieces), **{**room, **options})


def voice_of(
    engine: InProcessEngine,
    *,
    epsilon: float = 0.0,
    width: int | None = None,
    kv_tokens: int | None = None,
    prompt: Sequence[int] = (BOS,),
    forced: bytes = b"",
) -> ByteVoice:
    """A voice whose beam may be as wide as the engine has sessions."""
    context = min(engine.facts.context_length, engine.facts.kv_tokens)
    room = context - len(prompt) if kv_tokens is None else kv_tokens
    pruning = Pruning(epsilon, width or engine.facts.sessions, room)
    return ByteVoice(engine, Opening(prompt, forced), pruning, len(prompt) + room)


async def started(engine: InProcessEngine, **how: Any) -> ByteVoice:
    """An open voice that has read its prompt."""
    voice = voice_of(engine, **how)
    await voice.open()
    await voice.start()
    return voice


async def restarted(voice: ByteVoice) -> None:
    """Closes a voice and has it come back."""
    voice.close()
    await voice.open()
    await voice.start()


def watched_healing(voice: ByteVoice) -> list[int]:
    """Returns a list that gathers the bytes for which the voice had to heal."""
    heal, healed = voice._heal, list[int]()

    async def noted(symbol: int) -> LogProbs:
        healed.append(symbol)
        return await heal(symbol)

    voice._heal = noted  # type: ignore[method-assign]
    return healed


def probabilities(voice: ByteVoice) -> npt.NDArray[np.float64]:
    """What it gives the next byte and the end, before the rounding to float32."""
    return voice._probs.copy()


def kept_share(voice: ByteVoice) -> float:
    """Share of its probability that is not pruned."""
    return 1.0 - voice._lost


def cells_held(voice: ByteVoice) -> int:
    """Tokens behind the prompt that its sessions hold, each counted once."""
    return voice._tree.kv_tokens


def segmentations(voice: ByteVoice) -> set[tuple[tuple[int, ...], bytes]]:
    """Tokens and begun token of every hypothesis."""
    return {(tuple(h.context.tokens()), h.prefix.text) for h in voice._beam}


def open_sessions(engine: InProcessEngine) -> int:
    """Sessions that are open now."""
    return engine.open_sessions


async def everything_is_free(engine: InProcessEngine) -> bool:
    """Whether a family of all sessions and cells can be opened at once."""
    facts = engine.facts
    most = min(facts.context_length, facts.kv_tokens)
    if open_sessions(engine) or engine.admission.waiting:
        return False
    lease = engine.admission.try_acquire(most, facts.sessions)
    if lease is None:
        return False
    engine.admission.release(lease)
    whole = engine.admission.try_acquire(facts.kv_tokens)
    if whole is None:
        return False
    engine.admission.release(whole)
    return True
