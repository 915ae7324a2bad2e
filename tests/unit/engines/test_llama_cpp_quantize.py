from __future__ import annotations

import numpy as np
import pytest

from quorate.engines.llama_cpp.quantize import main, requantize
from quorate.engines.scheduler.contract import Chunk
from quorate.errors import CannotRun, InvalidRequest, ModelUnusable
from support.gguf_files import loaded, stories260k, write_broken


def ignore(line: str) -> None:
    pass


def first_row(path) -> tuple[str, str, np.ndarray]:
    with loaded(path, sessions=1) as model:
        output = np.empty(len(model.vocabulary), np.float32)
        model.decode([Chunk(0, 0, [1, 403, 407], output)])
        return model.facts.description, model.vocabulary.fingerprint, output


def test_a_requantised_model_has_the_same_vocabulary_and_other_weights(tmp_path):
    source, target = stories260k(), tmp_path / "stories.gguf"
    lines: list[str] = []
    requantize(source, target, "Q8_0", lines.append)
    _, vocabulary, row = first_row(source)
    description, target_vocabulary, target_row = first_row(target)
    assert description.endswith("Q8_0")
    assert target_vocabulary == vocabulary
    assert 0 < np.abs(np.exp(target_row) - np.exp(row)).max() < 0.1
    assert lines
    assert [path.name for path in tmp_path.iterdir()] == ["stories.gguf"]


def test_an_unknown_type_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(InvalidRequest, match=r"no quantisation named 'Q9'; known: .*Q4_0"):
        requantize(stories260k(), tmp_path / "out.gguf", "Q9", ignore)


def test_a_missing_source_is_refused(tmp_path):
    with pytest.raises(ModelUnusable, match="No such file"):
        requantize(tmp_path / "absent.gguf", tmp_path / "out.gguf", "Q8_0", ignore)


def test_a_broken_source_leaves_nothing_behind(tmp_path):
    source = write_broken("cut_in_the_tensors", tmp_path, stories260k())
    target = tmp_path / "out.gguf"
    with pytest.raises(CannotRun, match="cannot be quantised to Q8_0: ") as caught:
        requantize(source, target, "Q8_0", ignore)
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == [source]


def test_a_missing_target_folder_is_refused(tmp_path):
    with pytest.raises(CannotRun, match="folder does not exist"):
        requantize(stories260k(), tmp_path / "absent" / "out.gguf", "Q8_0", ignore)


def test_the_program_explains_its_use(capsys):
    assert main([]) == 2
    assert "SOURCE TARGET TYPE" in capsys.readouterr().out
