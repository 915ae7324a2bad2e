"""Byte predictors over scripted engines, and a look inside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from quorate.engines.scripted.tokenizer import BOS
from quorate.ensemble.alignments.bytes.beam import Opening, Pruning
from quorate.ensemble.alignments.bytes.predictor import BytePredictor
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


def predictor_of(
    engine: InProcessEngine,
    *,
    epsilon: float = 0.0,
    width: int | None = None,
    kv_tokens: int | None = None,
    prompt: Sequence[int] = (BOS,),
    forced: bytes = b"",
) -> BytePredictor:
    """A predictor whose beam may be as wide as the engine has sessions."""
    context = min(engine.facts.context_length, engine.facts.kv_tokens)
    room = context - len(prompt) if kv_tokens is None else kv_tokens
    pruning = Pruning(epsilon, width or engine.facts.sessions, room)
    return BytePredictor(engine, Opening(prompt, forced), pruning, len(prompt) + room)


async def started(engine: InProcessEngine, **how: Any) -> BytePredictor:
    """An open predictor that has read its prompt."""
    predictor = predictor_of(engine, **how)
    await predictor.open()
    await predictor.start()
    return predictor


async def fed(predictor: BytePredictor, text: bytes) -> None:
    """Tells a predictor the bytes of a text, one after the other."""
    for byte in text:
        await predictor.feed(byte)


async def restarted(predictor: BytePredictor) -> None:
    """Closes a predictor and has it come back."""
    predictor.close()
    await predictor.open()
    await predictor.start()


def kept_share(predictor: BytePredictor) -> float:
    """Share of its probability that is not pruned."""
    return 1.0 - predictor.state.pruned_share


def segmentations(predictor: BytePredictor) -> set[tuple[tuple[int, ...], bytes]]:
    """Tokens and begun token of every hypothesis."""
    return {(tuple(tokens), begun) for tokens, begun in predictor.state.segmentations}


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
