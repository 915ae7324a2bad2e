"""One answer as its events come in. Pure: it reads values and knows of no connection."""

from __future__ import annotations

from quorate.remotes.contract import RemoteEnd, RemoteRequest, RemoteText, RemoteUsage
from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.remotes.wire import Chunk, finish_reason, read_chunk
from quorate.request import FinishReason

_EVENTS_AFTER_THE_END = 8
_SILENT_EVENTS = 1000
_BYTES_PER_TOKEN = 4
_HELD_BACK_PIECES = 4


class Answer:
    """Turns the events of a stream into text, and notices when it should have ended.

    Args:
        request: What was asked; its ``max_tokens`` and ``max_bytes`` are held up here, too.
    """

    def __init__(self, request: RemoteRequest) -> None:
        self._max_tokens = request.max_tokens
        self._remaining_bytes = request.max_bytes
        self._estimate = TokenEstimate(request.max_tokens)
        self._code_points = CodePoints()
        self._usage = RemoteUsage()
        self._last: Chunk | None = None
        self._cut: FinishReason | None = None
        self._silent = 0
        self._after = 0

    @property
    def finished(self) -> bool:
        """Whether the remote has said why the answer ended; only its count may still come."""
        return self._last is not None

    @property
    def complete(self) -> bool:
        """Whether nothing that still comes is worth reading."""
        return self._cut is not None or self._after >= _EVENTS_AFTER_THE_END

    def push(self, event: object) -> RemoteText | None:
        """Reads one event.

        Raises:
            CallFailed: It is not an event of the protocol, or says nothing for the thousandth time.
        """
        chunk = read_chunk(event)
        self._usage = chunk.usage or self._usage
        if self.finished:
            self._after += 1
            return None
        if chunk.finish is not None:
            self._last = chunk
        return self._grown(chunk)

    def end(self) -> tuple[RemoteText | None, RemoteEnd]:
        """What is left to say once the stream has ended.

        Raises:
            CallFailed: It ended before the answer did, or for a reason that is no end of a text.
        """
        reason = self._reason()
        held = "" if self._cut is not None else self._code_points.flush()
        rest = self._shown(held) if held else None
        return rest, RemoteEnd(reason, self._usage, self._estimate.tokens)

    def _reason(self) -> FinishReason:
        if self._cut is not None:
            return self._cut
        if self._last is None or self._last.finish is None:
            cause = "the stream ended before the answer did"
            raise CallFailed(Failure(FailureKind.TRANSIENT, cause, retryable=True))
        return finish_reason(
            self._last.finish,
            self._last.stop_string,
            self._usage.generated_tokens,
            self._max_tokens,
        )

    def _grown(self, chunk: Chunk) -> RemoteText | None:
        if not chunk.text and not chunk.hidden:
            self._silent += 1
            if self._silent > _SILENT_EVENTS:
                raise broken("sends events without end and without text")
            return None
        size = len((chunk.text + chunk.hidden).encode("utf-8", "surrogatepass"))
        self._estimate.add(size)
        if self._estimate.exceeded:
            self._cut = FinishReason.MAX_TOKENS
            return None
        return self._shown(self._code_points.push(chunk.text))

    def _shown(self, text: str) -> RemoteText:
        """Cuts text at the byte limit; a code point that does not fit is left out."""
        if self._remaining_bytes is not None:
            data = text.encode()
            text = data[: self._remaining_bytes].decode(errors="ignore")
            self._remaining_bytes = max(0, self._remaining_bytes - len(data))
            if self._remaining_bytes == 0:
                self._cut = FinishReason.MAX_BYTES
        return RemoteText(text, self._estimate.tokens)


class TokenEstimate:
    """Estimates the tokens of a stream from its pieces.

    A piece holds at least one token, and most servers send one token in each, so the number of
    pieces is a lower bound and usually exact. Where a server packs several tokens into a piece,
    four bytes of UTF-8 are taken for a token: too many for most English text, too few for code
    and for scripts of which a character takes several tokens. The estimate is the larger of the
    two, and never more than ``max_tokens``, which the remote was told not to pass. What it cannot
    see is what a remote computes and does not stream, such as hidden reasoning; only
    ``max_tokens`` bounds that.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._pieces = 0
        self._bytes = 0

    def add(self, size: int) -> None:
        """Counts a piece of so many bytes of UTF-8."""
        self._pieces += 1
        self._bytes += size

    @property
    def tokens(self) -> int:
        """The estimate."""
        return min(self._max_tokens, max(self._pieces, -(-self._bytes // _BYTES_PER_TOKEN)))

    @property
    def exceeded(self) -> bool:
        """Whether more pieces came than a remote that keeps to ``max_tokens`` sends.

        Text that was held back for a stop string may come as a few pieces without a token.
        """
        return self._pieces > self._max_tokens + _HELD_BACK_PIECES


class CodePoints:
    """Joins surrogate pairs that a server split between two events.

    JSON writes a code point above U+FFFF as two escapes. A server that counts in UTF-16 may send
    them in two events; each half alone is not a character and cannot be encoded.
    """

    def __init__(self) -> None:
        self._held = ""

    def push(self, text: str) -> str:
        """Adds text and returns what is whole; half a pair at its end is held back."""
        text = self._held + text
        self._held = ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._held = text[:-1], text[-1]
        return _joined(text)

    def flush(self) -> str:
        """Gives what was held back, as U+FFFD: its other half never came."""
        held, self._held = self._held, ""
        return _joined(held)


def _joined(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
