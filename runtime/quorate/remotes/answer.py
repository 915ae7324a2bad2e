"""One answer as its events come in. Pure: it reads values and knows of no connection."""

from __future__ import annotations

from quorate.remotes.chunks import Chunk, read_chunk
from quorate.remotes.code_points import CodePoints
from quorate.remotes.contract import RemoteEnd, RemoteRequest, RemoteText, RemoteUsage
from quorate.remotes.failures import CallFailed, Failure, FailureKind, broken
from quorate.remotes.finishing import finish_reason
from quorate.remotes.tally import Tally
from quorate.request import FinishReason

_EVENTS_AFTER_THE_END = 8
_SILENT_EVENTS = 1000


class Answer:
    """Turns the events of a stream into text, and notices when it should have ended.

    Args:
        request: What was asked; its ``max_tokens`` and ``max_bytes`` are held up here, too.
    """

    def __init__(self, request: RemoteRequest) -> None:
        self._max_tokens = request.max_tokens
        self._room = request.max_bytes
        self._tally = Tally(request.max_tokens)
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
        return rest, RemoteEnd(reason, self._usage, self._tally.tokens)

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
        self._tally.add(size)
        if self._tally.exceeded:
            self._cut = FinishReason.MAX_TOKENS
            return None
        return self._shown(self._code_points.push(chunk.text))

    def _shown(self, text: str) -> RemoteText:
        """Cuts text at the byte limit; a code point that does not fit is left out."""
        if self._room is not None:
            data = text.encode()
            text = data[: self._room].decode(errors="ignore")
            self._room = max(0, self._room - len(data))
            if self._room == 0:
                self._cut = FinishReason.MAX_BYTES
        return RemoteText(text, self._tally.tokens)
