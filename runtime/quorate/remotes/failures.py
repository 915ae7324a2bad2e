"""How a call can fail, what may be said of it, and when it is tried again. Pure.

No clock and no sleeping: whoever waits is in ``generator``.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum

from quorate.large_texts import slices

_FIRST_BACKOFF_SECONDS = 0.5
_LONGEST_BACKOFF_SECONDS = 8.0
_LONGEST_WAIT_SECONDS = 60.0
_DAY_SECONDS = 86400.0
_LONGEST_EXCERPT = 120
_SHARED_WITH_PROMPT = 12
_SHARED_WITH_KEY = 6


class FailureKind(Enum):
    """Whose fault it is, which is what the circuit breaker wants to know.

    ``TRANSIENT`` is the remote's or the network's; ``QUOTA`` means that it takes no more of us for
    now; ``MISCONFIGURED`` that no request of ours will ever pass; ``REFUSED`` that this request
    was wrong and says nothing of the next.
    """

    TRANSIENT = "transient"
    QUOTA = "quota"
    MISCONFIGURED = "misconfigured"
    REFUSED = "refused"


# By what the words of an error contain, the surest first.
_KINDS_BY_WORD = (
    (("quota", "billing", "credit", "payment"), FailureKind.QUOTA, False),
    (("rate_limit", "too_many_requests"), FailureKind.QUOTA, True),
    (
        ("model_not_found", "invalid_model", "api_key", "authentication", "permission"),
        FailureKind.MISCONFIGURED,
        False,
    ),
    (("invalid_request", "context_length", "content_filter"), FailureKind.REFUSED, False),
    (
        ("overload", "server_error", "unavailable", "timeout", "api_error"),
        FailureKind.TRANSIENT,
        True,
    ),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call.

    Attributes:
        cause: One line, without prompt and key.
        retryable: Whether the same call may succeed a little later.
        retry_after_seconds: What the remote named, if it did.
        free: Whether the remote itself said, before anything of an answer, that it gives none. Else
            it may charge for a call that was sent.
    """

    kind: FailureKind
    cause: str
    retryable: bool = False
    retry_after_seconds: float | None = None
    free: bool = False


class CallFailed(Exception):
    """Carries a failure from the wire to ``Remote``, which alone turns it into a domain error."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


def broken(cause: str) -> CallFailed:
    """The remote answered with what is not the protocol: its fault, and no use to ask again."""
    return CallFailed(Failure(FailureKind.TRANSIENT, cause))


def kind_of_words(words: Iterable[object], said: object) -> tuple[FailureKind, bool]:
    """Whose fault an error is that comes without a status, and whether to try again.

    Args:
        words: Its ``code``, its ``type`` and the like; anything but a text says nothing.
        said: Its message.
    """
    known = [word.lower() for word in words if isinstance(word, str)]
    for markers, kind, retryable in _KINDS_BY_WORD:
        if any(marker in word for word in known for marker in markers):
            return kind, retryable
    if isinstance(said, str) and "quota" in said.lower():
        return FailureKind.QUOTA, False
    return FailureKind.TRANSIENT, False


def is_about_the_model(words: Iterable[object], said: object) -> bool:
    """Whether an error says that there is no such model, so that no request will ever pass."""
    texts = [text.lower() for text in (*words, said) if isinstance(text, str)]
    return any("model" in text for text in texts)


def wait_seconds(
    failure: Failure, retry: int, remaining_seconds: float | None, draw: Callable[[], float]
) -> float | None:
    """How long to wait before the next try, or None for no further try.

    Exponential backoff with full jitter: uniform between 0 and 0.5 s doubled with each retry, up
    to 8 s (Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015). What the remote
    names in ``Retry-After`` is waited out first and the jitter comes on top. Nobody is kept waiting
    for more than a minute, nor past the deadline.

    Args:
        failure: What happened.
        retry: Retries before this one.
        remaining_seconds: Time left of the caller's deadline; None is no deadline.
        draw: A number from [0, 1).
    """
    if not failure.retryable:
        return None
    jitter = draw() * min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(retry, 30))
    wait = (failure.retry_after_seconds or 0.0) + jitter
    if remaining_seconds is not None and wait >= remaining_seconds:
        return None
    return wait if wait <= _LONGEST_WAIT_SECONDS else None


def retry_after_seconds(value: str | None, now: float) -> float | None:
    """Reads a ``Retry-After`` header (RFC 9110, section 10.2.3): seconds or a date.

    ``now`` is in seconds since the epoch.

    Returns:
        Seconds from now, from 0 to a day; None for what cannot be read.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.replace(".", "", 1).isdigit():
        return min(float(value), _DAY_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        return min(max(moment.timestamp() - now, 0.0), _DAY_SECONDS)
    except (ValueError, OverflowError):
        return None


def excerpt(message: object, prompts: Iterable[str], key: str) -> str:
    """Shortens a remote's own words to one printable line, or to nothing.

    It is nothing where the words may repeat what must not be repeated: they share 12 characters
    with a prompt, hold all of a shorter one, or share 6 characters with the key.

    Args:
        message: What the remote said; anything but a text is nothing.
        prompts: Texts that must not be repeated.
        key: A secret that must not be repeated, or "".
    """
    if not isinstance(message, str):
        return ""
    words = "".join(
        letter if letter.isprintable() else " " for letter in message[: 4 * _LONGEST_EXCERPT]
    )
    line = " ".join(words.split())
    shown = line if len(line) <= _LONGEST_EXCERPT else line[: _LONGEST_EXCERPT - 1] + "…"
    if any(_share(shown, prompt, _SHARED_WITH_PROMPT) for prompt in prompts):
        return ""
    return "" if _share(shown, key, _SHARED_WITH_KEY) else shown


def _share(line: str, secret: str, length: int) -> bool:
    """Whether they have so many characters in common, or the line has all of a shorter secret."""
    # Whatever is shared has one of these in it, which are fewer and seldom found.
    half = length // 2
    blocks = [(start, line[start : start + half]) for start in range(0, len(line) - half + 1, half)]
    text = ""
    for text in _spaced(secret, length):
        for start, block in blocks:
            if block in text and any(run in text for run in _runs(line, start, length)):
                return True
    return 0 < len(text) <= length and text in line


def _runs(line: str, start: int, length: int) -> Iterator[str]:
    """The runs of so many characters that have in them the half that begins at ``start``."""
    for first in range(max(0, start - length // 2), min(start, len(line) - length) + 1):
        yield line[first : first + length]


def _spaced(text: str, overlap: int) -> Iterator[str]:
    """A text with single spaces, in pieces that overlap: it had other white space than a line."""
    before, apart = "", False
    for piece in slices(text):
        if words := " ".join(piece.split()):
            apart = before != "" and (apart or piece[0].isspace())
            words = f"{before} {words}" if apart else before + words
            yield words
            before = words[-overlap:]
        apart = piece[-1:].isspace()
