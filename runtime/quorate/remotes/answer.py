"""One answer as its events come in. Pure: it reads values and knows of no connection."""

from __future__ import annotations

from quorate.remotes.contract import RemoteEnd, RemoteRequest, RemoteText, RemoteUsage
from quorate.remotes.counts import Report, Seen, believed
from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.remotes.wire import Chunk, Done, finish_reason, foreign_word, read_chunk
from quorate.request import FinishReason

_EVENTS_AFTER_THE_END = 8
_SILENT_EVENTS = 10_000
_BYTES_PER_TOKEN = 4
_LEAST_BYTES_PER_TOKEN = 2
# No text has more on average, but for a few long runs of one character.
_MOST_BYTES_PER_TOKEN = 16
_MOST_BYTES_BESIDE = 256
_NO_WORD = "no word for why"


class Answer:
    """Turns the events of a stream into text, and notices when it should have ended.

    Args:
        request: What was asked; its ``max_tokens`` and ``max_bytes`` are held up here, too.

    Attributes:
        opened: Whether an event of an answer came, be it without text.
    """

    def __init__(self, request: RemoteRequest) -> None:
        self._prompt = request.prompt
        self._max_tokens = request.max_tokens
        self._remaining_bytes = request.max_bytes
        self._estimate = TokenEstimate(request.max_tokens)
        self._code_points = CodePoints()
        self._report: Report | None = None
        self._last: Chunk | None = None
        self._done = False
        self._cut: FinishReason | None = None
        self._silent = 0
        self._after = 0
        self.opened = False

    @property
    def begun(self) -> bool:
        """Whether anything was generated, as far as can be seen."""
        return self.bytes > 0

    @property
    def bytes(self) -> int:
        """Of what was streamed so far, shown reasoning included."""
        return self._estimate.bytes

    @property
    def tokens(self) -> int:
        """What was streamed so far, as estimated."""
        return self._estimate.tokens

    @property
    def finished(self) -> bool:
        """Whether the remote has said why the answer ended; only its count may still come."""
        return self._last is not None

    @property
    def complete(self) -> bool:
        """Whether nothing that still comes is worth reading."""
        return self._done or self._cut is not None or self._after >= _EVENTS_AFTER_THE_END

    def push(self, event: object) -> RemoteText | None:
        """Reads one event.

        Raises:
            CallFailed: It is not an event of the protocol, or one of too many that say nothing.
        """
        if event is Done.DONE:
            self._done = True
            return None
        chunk = read_chunk(event)
        if chunk.report is not None:
            before = self._report
            self._report = chunk.report if before is None else before.joined(chunk.report)
        self.opened = self.opened or chunk.known
        if self.finished:
            self._after += 1
            return None
        if chunk.finish is not None:
            self._last = chunk
        return self._grown(chunk)

    def usage(self) -> tuple[RemoteUsage, tuple[str, ...]]:
        """What the remote counted, as far as it is believed, and what is wrong with it."""
        seen = Seen(
            prompt_bytes=self._prompt.size_bytes,
            most_prompt_tokens=self._prompt.token_bound,
            max_tokens=self._max_tokens,
            answer_bytes=self._estimate.bytes,
            estimated_tokens=self._estimate.tokens,
        )
        return believed(self._report, seen)

    def end(self) -> tuple[RemoteText | None, RemoteEnd]:
        """What is left to say once the stream has ended.

        Raises:
            CallFailed: It ended before the answer did, or for a reason that is no end of a text.
        """
        usage, doubts = self.usage()
        reason, word = self._reason(usage)
        held = "" if self._cut is not None else self._code_points.flush()
        rest = self._shown(held) if held else None
        return rest, RemoteEnd(reason, usage, self._estimate.tokens, word, doubts)

    def _reason(self, usage: RemoteUsage) -> tuple[FinishReason, str]:
        """Why it ended, and the remote's word for it where that is not known here."""
        if self._cut is not None:
            return self._cut, ""
        generated = usage.generated_tokens
        if self._last is None or self._last.finish is None:
            # A proxy may write [DONE] after an upstream that broke off; only a count tells that the
            # answer came to its end.
            if not (self._done and self.begun and generated):
                cause = "the stream ended before the answer did"
                raise CallFailed(Failure(FailureKind.TRANSIENT, cause, retryable=True))
            full = generated >= self._max_tokens
            return (FinishReason.MAX_TOKENS if full else FinishReason.END_OF_GENERATION), _NO_WORD
        word, stop_string = self._last.finish, self._last.stop_string
        reason = finish_reason(word, stop_string, generated, self._max_tokens)
        if reason is FinishReason.CONTENT_FILTER and not self.begun:
            cause = "its content filter ended the answer"
            raise CallFailed(Failure(FailureKind.REFUSED, cause))
        return reason, foreign_word(word)

    def _grown(self, chunk: Chunk) -> RemoteText | None:
        if not chunk.text and not chunk.hidden:
            self._silent += 1
            if self._silent > _SILENT_EVENTS:
                raise broken("sends events without end and without text")
            return None
        self._silent = 0
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
    """Estimates the tokens of a stream from its bytes and its pieces.

    Most servers send one token in a piece, some several, some each character by itself. So the
    number of pieces is the estimate as long as they have two bytes or more on average; below that
    two bytes are taken for a token. Where a server packs several tokens into a piece, four bytes of
    UTF-8 are taken for one: too many for most English text, too few for code and for scripts of
    which a character takes several tokens. The estimate is the larger of the two, and no more than
    ``max_tokens``, which the remote was told not to pass, unless it plainly did. What it cannot see
    is what a remote computes and does not stream, such as hidden reasoning.

    Attributes:
        bytes: Of UTF-8, so far.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._pieces = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        """Counts a piece of so many bytes of UTF-8."""
        self._pieces += 1
        self.bytes += size

    @property
    def tokens(self) -> int:
        """The estimate."""
        by_bytes = -(-self.bytes // _BYTES_PER_TOKEN)
        by_pieces = min(self._pieces, -(-self.bytes // _LEAST_BYTES_PER_TOKEN))
        estimate = max(by_bytes, by_pieces)
        return estimate if self.exceeded else min(self._max_tokens, estimate)

    @property
    def exceeded(self) -> bool:
        """Whether more came than a remote that keeps to ``max_tokens`` sends in any language."""
        return self.bytes > _MOST_BYTES_PER_TOKEN * self._max_tokens + _MOST_BYTES_BESIDE


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
