"""What the coordinator and a worker say to each other.

One message is one line: a JSON array of a tag and the fields in their order. JSON keeps the channel
readable in a trace and, unlike pickle, cannot run code. Messages are handled in the order they were
sent; the protocol relies on it: a slot that was closed is free for the ``Open`` that follows.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

from quorate.engines.contract import Capabilities, EngineSampling, ModelFacts, SampledToken
from quorate.engines.scheduler.generations import Stretch
from quorate.request import ChatPrompt, Message, Prompt, TextPrompt


class _Line:
    """A message whose fields cross the wire as they are."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]]
    tag: ClassVar[str]

    def to_fields(self) -> list[Any]:
        """Values of JSON types, in the order of the fields."""
        return [getattr(self, name) for name in self.__match_args__]

    @classmethod
    def from_fields(cls, *fields: Any) -> Self:
        """Reads what ``to_fields`` gave."""
        return cls(*fields)


@dataclass(frozen=True, slots=True)
class Load(_Line):
    """First message of all: load this model, on these processor cores."""

    tag: ClassVar[str] = "load"
    engine: str
    path: str
    options: Mapping[str, Any]
    cores: Sequence[int]

    def to_fields(self) -> list[Any]:
        """See the base."""
        return [self.engine, self.path, dict(self.options), self.cores]


@dataclass(frozen=True, slots=True)
class Open(_Line):
    """A new session, numbered once and never again, whose log-probs go to row ``slot``.

    Attributes:
        sums: Whether their prefix sums are wanted too, of this session and its branches.
    """

    tag: ClassVar[str] = "open"
    session: int
    slot: int
    sums: bool


@dataclass(frozen=True, slots=True)
class Feed(_Line):
    """Append tokens to a session; answered within a ``Completed``."""

    tag: ClassVar[str] = "feed"
    session: int
    tokens: Sequence[int]


@dataclass(frozen=True, slots=True)
class Score(_Line):
    """Feed a whole text to an empty session; answered by ``Scored``."""

    tag: ClassVar[str] = "score"
    session: int
    tokens: Sequence[int]


@dataclass(frozen=True, slots=True)
class Generate(_Line):
    """Append tokens to a session and go on alone; answered by ``Sampled`` until it is finished."""

    tag: ClassVar[str] = "generate"
    session: int
    tokens: Sequence[int]
    options: EngineSampling

    def to_fields(self) -> list[Any]:
        """See the base."""
        return [self.session, self.tokens, dataclasses.asdict(self.options)]

    @classmethod
    def from_fields(cls, *fields: Any) -> Self:
        """See the base."""
        session, tokens, options = fields
        return cls(session, tokens, EngineSampling(**options))


@dataclass(frozen=True, slots=True)
class Fork(_Line):
    """A new session with the tokens of another, whose log-probs go to row ``slot``."""

    tag: ClassVar[str] = "fork"
    session: int
    child: int
    slot: int
    sums: bool


@dataclass(frozen=True, slots=True)
class Rewind(_Line):
    """Forget the last tokens of a session."""

    tag: ClassVar[str] = "rewind"
    session: int
    count: int


@dataclass(frozen=True, slots=True)
class Close(_Line):
    """Free a session, also in the middle of a feed, which is then never answered."""

    tag: ClassVar[str] = "close"
    session: int


@dataclass(frozen=True, slots=True)
class Encode(_Line):
    """Turn a prompt into tokens; answered by ``Encoded`` or ``Refused``."""

    tag: ClassVar[str] = "encode"
    request: int
    prompt: Prompt

    def to_fields(self) -> list[Any]:
        """See the base."""
        if isinstance(self.prompt, TextPrompt):
            return [self.request, self.prompt.text]
        return [self.request, [[turn.role, turn.content] for turn in self.prompt.messages]]

    @classmethod
    def from_fields(cls, *fields: Any) -> Self:
        """See the base."""
        request, prompt = fields
        if isinstance(prompt, str):
            return cls(request, TextPrompt(prompt))
        return cls(request, ChatPrompt(tuple(Message(role, content) for role, content in prompt)))


@dataclass(frozen=True, slots=True)
class EncodeContinuation(_Line):
    """Turn text into tokens as it would continue a prompt; answered like ``Encode``."""

    tag: ClassVar[str] = "encode_continuation"
    request: int
    text: str


@dataclass(frozen=True, slots=True)
class SetCores(_Line):
    """Move every thread of the worker to these processor cores."""

    tag: ClassVar[str] = "set_cores"
    cores: Sequence[int]


@dataclass(frozen=True, slots=True)
class Stop(_Line):
    """Free the model and exit with status 0."""

    tag: ClassVar[str] = "stop"


@dataclass(frozen=True, slots=True)
class Progress(_Line):
    """How much of the model is loaded, in [0, 1]."""

    tag: ClassVar[str] = "progress"
    fraction: float


@dataclass(frozen=True, slots=True)
class Loaded(_Line):
    """The model is loaded; rows and vocabulary table stand in the shared memories."""

    tag: ClassVar[str] = "loaded"
    facts: ModelFacts
    vocabulary_size: int

    def to_fields(self) -> list[Any]:
        """See the base."""
        return [dataclasses.asdict(self.facts), self.vocabulary_size]

    @classmethod
    def from_fields(cls, *fields: Any) -> Self:
        """See the base."""
        facts, vocabulary_size = fields
        capabilities = Capabilities(**facts.pop("capabilities"))
        return cls(ModelFacts(capabilities=capabilities, **facts), vocabulary_size)


@dataclass(frozen=True, slots=True)
class Unusable(_Line):
    """The model can never be loaded here, for this reason; the worker exits."""

    tag: ClassVar[str] = "unusable"
    problem: str


@dataclass(frozen=True, slots=True)
class Completed(_Line):
    """One decode step finished these feeds: pairs of session and tokens found in the cache."""

    tag: ClassVar[str] = "completed"
    feeds: Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Scored(_Line):
    """A text was fed; these are the log-probs of its tokens but the first, in nats."""

    tag: ClassVar[str] = "scored"
    session: int
    logprobs: Sequence[float]


@dataclass(frozen=True, slots=True)
class Sampled(_Line):
    """One decode step made this of the sessions that go on alone."""

    tag: ClassVar[str] = "drew"
    stretches: Sequence[Stretch]

    def to_fields(self) -> list[Any]:
        """See the base."""
        return [
            [
                one.session,
                [[drawn.token, drawn.logprob, drawn.top] for drawn in one.drawn],
                one.finished,
                one.cached_tokens,
            ]
            for one in self.stretches
        ]

    @classmethod
    def from_fields(cls, *fields: Any) -> Self:
        """See the base."""
        return cls(
            [
                Stretch(session, [_drawn(*one) for one in drawn], finished, cached_tokens)
                for session, drawn, finished, cached_tokens in fields
            ]
        )


@dataclass(frozen=True, slots=True)
class Encoded(_Line):
    """Answer to a request for tokens."""

    tag: ClassVar[str] = "encoded"
    request: int
    tokens: list[int]


@dataclass(frozen=True, slots=True)
class Refused(_Line):
    """A request for tokens failed.

    Attributes:
        kind: Class name of the error: ``InvalidRequest``, ``PromptTooLong``, ``UnsupportedPlan`` or
            ``Internal``.
        subject: First argument of the error: the field, or what stands in the way.
        problem: Second argument of the error.
    """

    tag: ClassVar[str] = "refused"
    request: int
    kind: str
    subject: str
    problem: str


ToWorker: TypeAlias = (
    Load
    | Open
    | Feed
    | Score
    | Generate
    | Fork
    | Rewind
    | Close
    | Encode
    | EncodeContinuation
    | SetCores
    | Stop
)
FromWorker: TypeAlias = (
    Progress | Loaded | Unusable | Completed | Scored | Sampled | Encoded | Refused
)

_TO_WORKER: Mapping[str, type[ToWorker]] = {
    kind.tag: kind
    for kind in (
        Load,
        Open,
        Feed,
        Score,
        Generate,
        Fork,
        Rewind,
        Close,
        Encode,
        EncodeContinuation,
        SetCores,
        Stop,
    )
}
_FROM_WORKER: Mapping[str, type[FromWorker]] = {
    kind.tag: kind
    for kind in (Progress, Loaded, Unusable, Completed, Scored, Sampled, Encoded, Refused)
}
_to_json = json.JSONEncoder(separators=(",", ":")).encode


def encode(message: ToWorker | FromWorker) -> bytes:
    """One line, its newline included."""
    return f"{_to_json([message.tag, *message.to_fields()])}\n".encode()


def decode_to_worker(line: bytes | bytearray) -> ToWorker:
    """Reads a line that the coordinator sent.

    Raises:
        ValueError: The line is no such message.
    """
    message: ToWorker = _decode(line, _TO_WORKER)
    return message


def decode_from_worker(line: bytes | bytearray) -> FromWorker:
    """Reads a line that a worker sent.

    Raises:
        ValueError: The line is no such message.
    """
    message: FromWorker = _decode(line, _FROM_WORKER)
    return message


def _drawn(token: int, logprob: float, top: Sequence[Sequence[Any]]) -> SampledToken:
    return SampledToken(token, logprob, [(other, its_logprob) for other, its_logprob in top])


def _decode(line: bytes | bytearray, kinds: Mapping[str, type[Any]]) -> Any:
    try:
        tag, *fields = json.loads(line)
        return kinds[tag].from_fields(*fields)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"unreadable message {bytes(line[:80])!r}: {error!r}") from error


class LineBuffer:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []

    def push(self, data: bytes) -> list[bytes]:
        """Takes the next bytes of the stream and returns the lines that are now complete.

        Each byte is copied once or twice, however many pieces a long line comes in.
        """
        end, *starts = data.split(b"\n")
        self._rest.append(end)
        if not starts:
            return []
        whole = b"".join(self._rest)
        *lines, rest = starts
        self._rest = [rest]
        return [whole, *lines]
