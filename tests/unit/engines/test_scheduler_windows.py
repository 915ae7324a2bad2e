"""Models whose layers look back over a window, and have let go of what is outside it."""

from __future__ import annotations

import numpy as np
import pytest

from quorate.engines.contract import LogProbs
from quorate.engines.scheduler.contract import Chunk
from quorate.request import TextPrompt
from support.gguf_files import loaded
from support.schedulers import DrivenScheduler, RecordingModel
from support.tiny_architectures import sliding_window


class LetsGo(RecordingModel):
    """Keeps nothing of a sequence that is cut."""

    def truncate(self, sequence: int, length: int) -> int:
        return super().truncate(sequence, 0)

    def copy(self, source: int, target: int, length: int) -> int:
        whole = length == len(self._free_sequence(source))
        return super().copy(source, target, length) if whole else 0


def test_a_rewind_that_the_model_cannot_make_decodes_the_text_anew() -> None:
    scheduler = DrivenScheduler(LetsGo(), 0)
    scheduler.decode(0, [5, 6, 7, 8, 9])
    scheduler.rewind(0, 2)
    scheduler.rewind(0, 1)
    scheduler.decode(0, [10])
    scheduler.assert_row(0, [5, 6, 10])
    scheduler.decode(0, [11, 12], rows=2)
    scheduler.assert_block(0, [5, 6, 10, 11, 12], rows=2)
    assert scheduler.pool.held_tokens == 5


def test_a_draft_behind_such_a_rewind_has_its_rows() -> None:
    scheduler = DrivenScheduler(LetsGo(), 0)
    scheduler.decode(0, [5, 6, 7, 8, 9])
    scheduler.rewind(0, 1)
    scheduler.decode(0, [10, 11, 12], rows=3)
    scheduler.assert_block(0, [5, 6, 7, 8, 10, 11, 12], rows=3)


def test_a_branch_behind_such_a_rewind_has_the_whole_text() -> None:
    scheduler = DrivenScheduler(LetsGo(), 0)
    scheduler.decode(0, [5, 6, 7])
    scheduler.rewind(0, 1)
    scheduler.fork(0, 1)
    scheduler.decode(1, [8])
    scheduler.assert_row(1, [5, 6, 8])


@pytest.mark.parametrize("in_use", [False, True])
def test_a_prefix_that_the_model_let_go_of_is_decoded_anew(in_use: bool) -> None:
    scheduler = DrivenScheduler(LetsGo(), 0)
    scheduler.decode(0, [*range(5, 40)])
    if not in_use:
        scheduler.close(0)
    scheduler.begin(1)
    prompt = [*range(5, 30), 90]
    (completion,) = scheduler.decode(1, prompt)
    assert completion.cached_tokens == 0
    scheduler.assert_row(1, prompt)
    assert scheduler.pool.held_tokens == len(prompt) + in_use * 35


def test_llama_cpp_never_computes_with_a_window_that_others_have_overwritten() -> None:
    texts = ("The quick brown fox jumps", "Once upon a time at sea")
    with loaded(sliding_window(), sessions=3, context_length=256, cells=768) as model:
        prompts = [model.encode(TextPrompt(text)) for text in texts]
        whole = [[*prompt, *range(70, 90)] for prompt in prompts]
        row = np.zeros(len(model.vocabulary), np.float32)

        def decoded(sequence: int, begin: int) -> list[LogProbs]:
            """The rows behind each token of a sequence that holds those before."""
            rows = []
            for position, token in enumerate(whole[sequence][begin:], begin):
                model.decode([Chunk(sequence, position, [token], row)])
                rows.append(row.copy())
            return rows

        alone = []
        for sequence in (0, 1):
            alone.append(decoded(sequence, 0))
            model.truncate(sequence, 0)
        # By turns, so that the cells of both lie side by side.
        for position in range(40):
            model.decode([Chunk(s, position, [whole[s][position]], row) for s in (0, 1)])
        let_go = 0
        for sequence, cut in ((0, 24), (1, 22), (0, 30), (1, 20)):
            kept = model.truncate(sequence, cut)
            assert kept in (0, cut)
            let_go += kept == 0
            rows = decoded(sequence, kept)
            np.testing.assert_allclose(rows, alone[sequence][kept:], atol=1e-2)
        assert let_go
