"""What a byte beam did so far, over all the trees of contexts that it had."""

from __future__ import annotations

from quorate.ensemble.alignments.bytes.contexts import ContextTree


class BeamFigures:
    """Base of the byte predictor: what a ``Predictor`` tells of its work.

    Args:
        tree: Its first one.
        prompt_tokens: Of its prompt.
    """

    def __init__(self, tree: ContextTree, prompt_tokens: int) -> None:
        self._tree = tree
        self._prompt_tokens = prompt_tokens
        # Whether what the tree holds counts as fed: what only brings it back to where it was is no
        # new work.
        self._begun = False
        self._dropped = 0.0
        self._masked_mass = 0.0
        self._cached: int | None = None
        self._busy_seconds = 0.0
        self._fed_before = 0
        self._looked_ahead = 0
        self._wasted = 0

    @property
    def fed(self) -> int:
        """Tokens it was given, the prompt included; what is fed again does not count."""
        return self._fed_before + (self._tree.fed if self._begun else 0)

    @property
    def forwards(self) -> int:
        """See ``Predictor``."""
        return max(0, self.fed - self._prompt_tokens)

    @property
    def looked_ahead(self) -> int:
        """See ``Predictor``."""
        return self._looked_ahead + self._tree.looked_ahead

    @property
    def wasted(self) -> int:
        """See ``Predictor``."""
        return self._wasted + self._tree.wasted

    @property
    def busy_seconds(self) -> float:
        """See ``Predictor``."""
        return self._busy_seconds

    @property
    def cached_tokens(self) -> int:
        """See ``Predictor``."""
        return self._cached or 0

    @property
    def dropped_mass(self) -> float | None:
        """See ``Predictor``."""
        return self._dropped

    @property
    def masked_mass(self) -> float:
        """See ``Predictor``; of the tokens that were read last."""
        return self._masked_mass

    def _replant(self, tree: ContextTree) -> None:
        """Goes on with another tree; what was measured with this one stays."""
        self._looked_ahead, self._wasted = self.looked_ahead, self.wasted
        self._tree = tree
