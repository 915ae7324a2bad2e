"""The feeds that wait to be decoded, by what they are to those who decode."""

from __future__ import annotations

from collections.abc import Iterator

from quorate.engines.scheduler.entry import Entry
from quorate.request import MAX_DRAFT

SHORT_FEED_TOKENS = 1 + MAX_DRAFT
"""Tokens of a feed that nobody need wait for: the next one, with a draft behind it."""


class Outstanding:
    """Three queues, each in order of arrival.

    Attributes:
        short: The next token, or the few of a catch-up or a draft.
        blocks: Longer feeds of which all that is decoded has a row.
        prompts: All others.
    """

    def __init__(self) -> None:
        self.short: dict[int, Entry] = {}
        self.blocks: dict[int, Entry] = {}
        self.prompts: dict[int, Entry] = {}

    def __len__(self) -> int:
        return len(self.short) + len(self.blocks) + len(self.prompts)

    def __iter__(self) -> Iterator[Entry]:
        yield from self.short.values()
        yield from self.long()

    def long(self) -> Iterator[Entry]:
        """What those who decode would wait for, were it decoded in one piece."""
        yield from self.blocks.values()
        yield from self.prompts.values()

    @property
    def any_long(self) -> bool:
        """Whether there is anything of that kind."""
        return bool(self.blocks or self.prompts)

    def add(self, entry: Entry) -> None:
        """A session was fed."""
        if len(entry.feed) <= SHORT_FEED_TOKENS:
            self.short[entry.session] = entry
            return
        # It does not decode now, so that what it fed need not be small for its own sake.
        entry.last_decode = None
        if len(entry.feed) == entry.rows:
            self.blocks[entry.session] = entry
        else:
            self.prompts[entry.session] = entry

    def remove(self, session: int) -> bool:
        """A feed is done, or not wanted any more; whether it was a short one."""
        if self.short.pop(session, None) is not None:
            return True
        if self.blocks.pop(session, None) is None:
            self.prompts.pop(session, None)
        return False
