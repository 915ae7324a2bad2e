"""llama.cpp among the engines."""

from __future__ import annotations

from typing import Any

from quorate.engines.llama_cpp.files import needs
from quorate.engines.llama_cpp.header import check_file
from quorate.engines.llama_cpp.options import LlamaCppOptions
from quorate.engines.llama_cpp.trial import Trials, advice, verdicts_folder
from quorate.engines.registry import EngineRegistration

_TRIALS = Trials(verdicts_folder())


def prepare(options: LlamaCppOptions, trials: Trials = _TRIALS) -> dict[str, Any]:
    """Whether weights are repacked, where only a trial can tell; see ``EngineRegistration``."""
    if options.repack != "auto":
        return {}
    verdict = trials.verdict()
    return {"repack": "on"} if verdict is not None and verdict.sound else {}


def doubt(options: LlamaCppOptions, trials: Trials = _TRIALS) -> str:
    """That a build was found unfit, if it was; see ``EngineRegistration``."""
    verdict = trials.known_verdict() if options.repack == "auto" else None
    return advice(verdict) if verdict is not None and not verdict.sound else ""


ENGINE = EngineRegistration(
    name="llama_cpp",
    options=LlamaCppOptions,
    loader="quorate.engines.llama_cpp.start:load",
    encoder="quorate.engines.llama_cpp.start:load_encoder",
    files="gguf",
    default=True,
    check_files=check_file,
    library="llama_cpp",
    needs=needs,
    prepare=prepare,
    doubt=doubt,
)
