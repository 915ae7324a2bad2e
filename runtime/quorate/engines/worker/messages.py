"""What the coordinator and a worker say to each other.

Messages are handled in the order they were sent; the protocol relies on it: a slot that was closed
is free for the ``Open`` that follows. How each becomes a line is in ``codec``. No line of a worker
takes the coordinator's event loop a millisecond: long answers come in parts; see ``claims``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from quorate.engines.contract import ModelFacts
from quorate.engines.generation import EngineSampling
from quorate.engines.scheduler.generations import SessionOutput
from quorate.engines.worker.codec import Codec
from quorate.request import Prompt


@dataclass(frozen=True, slots=True)
class Load:
    """First message of all: load this model, on these processor cores."""

    engine: str
    path: str
    options: Mapping[str, Any]
    cores: Sequence[int]


@dataclass(frozen=True, slots=True)
class LoadTokenizer:
    """First message to an encoder: load the tokenizer of this model, and nothing else of it."""

    engine: str
    path: str
    options: Mapping[str, Any]
    cores: Sequence[int]


@dataclass(frozen=True, slots=True)
class SetContextLength:
    """To an encoder: prompts of more tokens are refused from now on."""

    context_length: int


@dataclass(frozen=True, slots=True)
class Open:
    """A new session, numbered once and never again, whose log-probs go to row ``slot``.

    Attributes:
        sums: Whether their prefix sums are wanted too, of this session and its branches.
    """

    session: int
    slot: int
    sums: bool


@dataclass(frozen=True, slots=True)
class Feed:
    """Append tokens to a session; answered within a ``Completed``.

    Attributes:
        rows: How many of the last tokens have a row of the slot's block each; 0 gives the last one
            the slot's row.
    """

    session: int
    tokens: Sequence[int]
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """Feed a whole text to an empty session; answered by ``Scored``."""

    session: int
    tokens: Sequence[int]


@dataclass(frozen=True, slots=True)
class Generate:
    """Append tokens to a session and go on alone; answered by ``Sampled`` until it is finished."""

    session: int
    tokens: Sequence[int]
    options: EngineSampling


@dataclass(frozen=True, slots=True)
class Taken:
    """Whoever reads a generation took so many tokens of it; it may run as far ahead again."""

    session: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Branch:
    """A new session with the tokens of another, whose log-probs go to row ``slot``."""

    parent: int
    session: int
    slot: int
    sums: bool


@dataclass(frozen=True, slots=True)
class Rewind:
    """Forget the last tokens of a session."""

    session: int
    count: int


@dataclass(frozen=True, slots=True)
class Close:
    """Free a session, also in the middle of a feed, which is then never answered."""

    session: int


@dataclass(frozen=True, slots=True)
class Encode:
    """Turn a prompt into tokens; answered by ``Encoded`` or ``Refused``."""

    request: int
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class EncodeContinuation:
    """Turn text into tokens as it would continue a prompt; answered like ``Encode``."""

    request: int
    text: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for the tokens of a request any more; it need not be answered."""

    request: int


@dataclass(frozen=True, slots=True)
class SetCores:
    """Move every thread of the worker to these processor cores."""

    cores: Sequence[int]


@dataclass(frozen=True, slots=True)
class Stop:
    """Free the model and exit with status 0."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How much of the model is loaded, in [0, 1]."""

    fraction: float


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model is loaded; rows and vocabulary table stand in the shared memories."""

    facts: ModelFacts
    vocabulary_size: int


@dataclass(frozen=True, slots=True)
class TokenizerLoaded:
    """The encoder has loaded a tokenizer; ``identity`` is that of its ``PromptEncoder``."""

    identity: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """The model can never be loaded here, for this reason; the worker exits."""

    problem: str


@dataclass(frozen=True, slots=True)
class Completed:
    """One decode step finished these feeds: pairs of session and tokens found in the cache."""

    feeds: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class ScoredPart:
    """The first, or next, log-probs of a text; ``Scored`` follows with the last."""

    session: int
    logprobs: Sequence[float]


@dataclass(frozen=True, slots=True)
class Scored:
    """A text was fed; these are the log-probs of its tokens but the first, in nats.

    Without those that were told in parts.
    """

    session: int
    logprobs: Sequence[float]


@dataclass(frozen=True, slots=True)
class Sampled:
    """One decode step made this of the sessions that go on alone."""

    outputs: Sequence[SessionOutput]


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """The first, or next, tokens of an answer; ``Encoded`` follows with the last."""

    request: int
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Answer to a request for tokens, without those that were told in parts."""

    request: int
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Refused:
    """A request for tokens failed.

    Attributes:
        kind: Class name of the error: ``InvalidRequest``, ``PromptTooLong``, ``TemplateRefused``,
            ``UnsupportedPlan`` or ``Internal``.
        subject: First argument of the error: the field, or what stands in the way.
        problem: Second argument of the error.
    """

    request: int
    kind: str
    subject: str
    problem: str


ToWorker: TypeAlias = (
    Load
    | LoadTokenizer
    | SetContextLength
    | Open
    | Feed
    | Score
    | Generate
    | Taken
    | Branch
    | Rewind
    | Close
    | Encode
    | EncodeContinuation
    | Cancel
    | SetCores
    | Stop
)
FromWorker: TypeAlias = (
    Progress
    | Loaded
    | TokenizerLoaded
    | Unusable
    | Completed
    | ScoredPart
    | Scored
    | Sampled
    | EncodedPart
    | Encoded
    | Refused
)

TO_WORKER: Codec[ToWorker] = Codec(ToWorker)
FROM_WORKER: Codec[FromWorker] = Codec(FromWorker)
