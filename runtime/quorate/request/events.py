"""What comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from quorate.request.decisions import Decision
from quorate.request.usage import Usage


@dataclass(frozen=True, slots=True)
class TopCandidate:
    """A candidate of the mixture: its bytes and its log-prob in nats.

    In a byte-exact vote the candidates are those for the first byte of a piece.

    Attributes:
        token_id: Its id, or None where the members share no vocabulary.
    """

    token_id: int | None
    piece: bytes
    logprob: float


@dataclass(frozen=True, slots=True)
class Vote:
    """What one member found most probable at one step, and what it gave the chosen token.

    Attributes:
        model: Id of the member.
        piece: Bytes of the member's own most probable token; in a byte-exact vote the word as far
            as the member agreed, and its own most probable piece from where it did not. Where the
            token that it is for was cut, it is cut alike.
        logprob: The member's log-prob of that, in nats.
        weight: Its normalised weight in this step.
        chosen_logprob: The member's log-prob of the token that was chosen, in nats.
    """

    model: str
    piece: bytes
    logprob: float
    weight: float
    chosen_logprob: float

    def is_for(self, token: Token) -> bool:
        """Whether it is a vote for a token; some have no bytes to be told apart by."""
        return self.piece == token.piece and (
            self.piece != b"" or self.chosen_logprob >= self.logprob
        )


@dataclass(frozen=True, slots=True)
class Token:
    """One chosen token, or in a byte-exact vote a word.

    Attributes:
        token_id: Its id, or None where the members share no vocabulary.
        logprob: Log-prob under the mixture before temperature and truncation, in nats.
        tied: Whether a majority vote had several winners; the higher weight of one member, then
            the earlier member, decided.
        control: Whether it is a control token, which has no bytes and gives no text.
    """

    token_id: int | None
    piece: bytes
    logprob: float
    top: tuple[TopCandidate, ...] = ()
    votes: tuple[Vote, ...] = ()
    tied: bool = False
    control: bool = False


@dataclass(frozen=True, slots=True)
class Accepted:
    """First event of a stream: the plan that runs."""

    request_id: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class CallPart:
    """A piece of a call that the answer makes.

    Attributes:
        index: Of the call in the answer, from 0.
        call_id: Set in the first piece of a call alone, as is ``name``.
        arguments: What its arguments go on with: together JSON of an object.
    """

    index: int
    call_id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer: whole code points of text, and the tokens decided meanwhile.

    Attributes:
        reasoning: Text of the model's reasoning, instead of the answer's; None where the tokens are
            none of it.
        calls: Pieces of calls, behind the text; what a model writes around them is no text.
    """

    text: str
    tokens: tuple[Token, ...]
    reasoning: str | None = None
    calls: tuple[CallPart, ...] = ()


class NoticeKind(Enum):
    """What a notice tells of."""

    MEMBER_DROPPED = "member_dropped"
    MEMBER_REPLAYED = "member_replayed"
    ESCALATED = "escalated"
    FELL_BACK = "fell_back"
    SUBSTITUTED = "substituted"
    MASS_CUT = "mass_cut"
    SYSTEM_MOVED = "system_moved"
    FOREIGN_END = "foreign_end"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader should know, while the stream goes on.

    Attributes:
        model: The model concerned; the first one of a plan that gives way to another.
    """

    kind: NoticeKind
    model: str
    message: str


class FinishReason(Enum):
    """Why an answer ended."""

    END_OF_GENERATION = "end_of_generation"
    STOP_STRING = "stop_string"
    MAX_TOKENS = "max_tokens"
    MAX_BYTES = "max_bytes"
    CONTEXT_FULL = "context_full"
    CONTENT_FILTER = "content_filter"
    TOOL_CALLS = "tool_calls"


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """One of the whole answers that voted.

    Attributes:
        sample: Which of its member's answers it is, from 0.
        text: What there is of it.
        reading: What it says, by which it was compared; None where that cannot be told.
        weight: Most that it weighs; all weights sum to 1.
        confidence: How sure it is of itself, in [0, 1], where that counts.
        bits_per_byte: What all members together need to say it, where that selects.
        problem: Why there is none, or "".
        ended: Whether it is whole; one that could change nothing any more was not ended.
        lost: Whether there is none because its model was away or lost.
    """

    model: str
    sample: int
    text: str
    reading: str | None
    weight: float
    confidence: float | None = None
    bits_per_byte: float | None = None
    problem: str = ""
    ended: bool = True
    lost: bool = False


@dataclass(frozen=True, slots=True)
class AnswerGroup:
    """Answers that say the same.

    Attributes:
        reading: What they say.
        answers: Their places among all answers, rising.
        weight: Of all of them.
    """

    reading: str
    answers: tuple[int, ...]
    weight: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """How whole answers voted.

    Attributes:
        answers: All of them, in the order of samples and of the plan's members.
        groups: Of those that say something, the heaviest first.
        kept: Place of the answer that was kept.
        tied: Whether another group that was waited for weighs as much; the earlier answer decided.
    """

    answers: tuple[GivenAnswer, ...]
    groups: tuple[AnswerGroup, ...]
    kept: int
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """Last event of a stream.

    Attributes:
        outcome: How whole answers voted, where they did.
    """

    reason: FinishReason
    usage: Usage
    request_id: str = ""
    outcome: Outcome | None = None


Event: TypeAlias = Accepted | Delta | Notice | Finished


@dataclass(frozen=True, slots=True)
class MemberScore:
    """What one member alone thinks of a continuation, and what asking it took.

    Attributes:
        logprob: Sum over the continuation, in nats.
        tokens: Tokens of the continuation in this member's tokenizer.
        forwards: Tokens that were fed for it; more than ``tokens`` where several segmentations
            were followed.
        dropped_mass: Probability that was pruned, for each byte; None where nothing is pruned.
        weight: Mean of its weights over the continuation.
    """

    model: str
    logprob: float
    tokens: int
    forwards: int
    weight: float
    dropped_mass: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probability of a continuation.

    Attributes:
        logprob: Sum over the continuation's tokens, in nats.
        bytes: UTF-8 bytes of the continuation.
        tokens: The continuation's tokens with their log-probs under the mixture.
        members: What each member alone thinks of it; one that was dropped is missing.
    """

    request_id: str
    decision: Decision
    logprob: float
    bytes: int
    tokens: tuple[Token, ...]
    usage: Usage
    members: tuple[MemberScore, ...] = ()
