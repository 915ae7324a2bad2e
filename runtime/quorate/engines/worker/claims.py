"""What a worker may claim. It reads strangers' files, and may have become a stranger itself.

Whatever it says is read as a foreigner's: of a known size, in its turn, in the range that it has.
``OutOfTurn`` is raised for what no worker of ours would ever say, and ends the worker; texts are
shortened and cleaned, since a file of a model may have written them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from quorate.engines.contract import ModelFacts
from quorate.engines.quarantine import SPOKE
from quorate.engines.shared_rows import BLOCK_ROWS, MOST_BYTES, size_bytes
from quorate.engines.vocabulary import Vocabulary
from quorate.engines.worker.messages import Loaded
from quorate.foreign_text import one_line

LONGEST_LINE = 1 << 14
"""Bytes of a message; what may be longer is told in parts."""

MOST_NUMBERS = 512
"""Tokens, log-probs or feeds of one part."""

LONGEST_TEXT = 1000

MOST_VOCABULARY = 1 << 22
MOST_TABLE_BYTES = 1 << 28
MOST_PROGRESS = 1000

_MOST_CONTEXT = 1 << 26
_MOST_SESSIONS = 4096
_MOST_TOKENS = 1 << 40
_MOST_BYTES = 1 << 50
_MOST_LISTED = 256
_LONGEST_PROBLEM = 300
_SHORT_PROMPT = 1 << 16


class OutOfTurn(ValueError):
    """A worker said what it may not; the text says what."""


def cause(problem: str) -> str:
    """Why a worker is ended that said something out of turn, in one line."""
    return f"{SPOKE}: {clean(problem[:_LONGEST_PROBLEM])}"


def told(cause: str) -> str:
    """What became of a process that was lost for this cause, behind "its worker" and the like."""
    return cause if cause.startswith(SPOKE) else f"was lost ({cause})"


def most_prompt_tokens(context_length: int) -> int:
    """Tokens that an encoded prompt may have: a context, and what shows that it is too long."""
    return 2 * context_length + _SHORT_PROMPT


def clean(text: str) -> str:
    """A foreign text in one line of a reasonable length, without control characters."""
    return one_line(" ".join(text[: 2 * LONGEST_TEXT].split()), LONGEST_TEXT)


def check_fraction(fraction: float) -> None:
    """A loaded fraction.

    Raises:
        OutOfTurn: It is none.
    """
    if not 0.0 <= fraction <= 1.0:
        raise OutOfTurn(f"{fraction} of the model is loaded")


def check_tokens(tokens: Sequence[int], vocabulary_size: int) -> None:
    """Tokens of a part.

    Raises:
        OutOfTurn: One is no token of the vocabulary.
    """
    if tokens and not 0 <= min(tokens) <= max(tokens) < vocabulary_size:
        raise OutOfTurn(f"a token that none of {vocabulary_size} is")


def check_rows(vocabulary: Vocabulary, vocabulary_size: int) -> None:
    """Rows of a loaded model, against what its tokens are.

    Raises:
        OutOfTurn: They are of another length.
    """
    if len(vocabulary) != vocabulary_size:
        raise OutOfTurn(f"rows of {vocabulary_size} for {len(vocabulary)} tokens")


def checked_vocabulary(table: bytes, vocabulary_size: int) -> Vocabulary:
    """What a vocabulary table says, for rows of so many log-probs.

    Raises:
        OutOfTurn: It is none, or speaks of other tokens.
    """
    try:
        vocabulary = Vocabulary.from_bytes(table)
    except ValueError as error:
        raise OutOfTurn(f"no vocabulary: {error}") from error
    check_rows(vocabulary, vocabulary_size)
    listed = {*vocabulary.control, *vocabulary.end_of_generation, *vocabulary.unsayable}
    check_tokens([*listed, *vocabulary.names, vocabulary.bos or 0], vocabulary_size)
    return vocabulary


def checked_loaded(loaded: Loaded) -> Loaded:
    """What is told of a loaded model, with clean texts.

    Raises:
        OutOfTurn: A number is out of any range that a model could have.
    """
    facts = loaded.facts
    for name, number, lowest, highest in (
        ("a vocabulary", loaded.vocabulary_size, 1, MOST_VOCABULARY),
        ("a context", facts.context_length, 1, _MOST_CONTEXT),
        ("sessions", facts.sessions, 1, _MOST_SESSIONS),
        ("KV tokens", facts.kv_tokens, 1, _MOST_TOKENS),
        ("bytes of memory", facts.memory_bytes, 0, _MOST_BYTES),
        ("warnings", len(facts.warnings), 0, _MOST_LISTED),
        ("marks of reasoning", len(facts.reasoning), 0, _MOST_LISTED),
        ("rows of a block", facts.block_rows, 1, BLOCK_ROWS),
    ):
        if not lowest <= number <= highest:
            raise OutOfTurn(f"it has loaded {name} of {number}, of {lowest} to {highest}")
    if size_bytes(facts.sessions, loaded.vocabulary_size, facts.block_rows) > MOST_BYTES:
        raise OutOfTurn(
            f"{facts.sessions} rows of {loaded.vocabulary_size}, with blocks of "
            f"{facts.block_rows}, are more than {MOST_BYTES} bytes"
        )
    check_tokens([token for pair in facts.reasoning for token in pair], loaded.vocabulary_size)
    return replace(loaded, facts=_cleaned(facts))


def _cleaned(facts: ModelFacts) -> ModelFacts:
    template = facts.template
    return replace(
        facts,
        description=clean(facts.description),
        warnings=tuple(map(clean, facts.warnings)),
        template=replace(template, problem=clean(template.problem), digest=clean(template.digest)),
    )
