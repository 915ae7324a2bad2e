"""Chat templates that want more memory than there is: their models go on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from quorate.engines.spec import EngineSpec
from quorate.errors import TemplateRefused
from quorate.request import ChatPrompt, Message, TextPrompt
from support.hosted_engines import ready, scripted_spec
from support.tiny_gguf import tiny_model

ADDS_UP = (
    "{% set ns = namespace(all=[]) %}{% for i in range(90000) %}"
    "{% set ns.all = ns.all + ['x' * 4000000 ~ i] %}{% endfor %}"
)
AT_ONCE = "{{ (('x' * 100000,) * 100000) | join }}"
MOODY = (
    "{% if 'slowly' in messages[0].content %}" + ADDS_UP + "{% endif %}"
    "{% if 'at once' in messages[0].content %}" + AT_ONCE + "{% endif %}"
    "{% for m in messages %}{{ m.content }}{% endfor %}"
)
MOST_KILOBYTES = 1600 << 10
# Whichever of the two a busy machine comes to first.
STOPPED = "its chat template was stopped: it takes too (much memory|long)"


def chat(text: str) -> ChatPrompt:
    return ChatPrompt((Message("user", text),))


def peak_kilobytes(pid: int | None) -> int:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


@pytest.mark.parametrize("engine", ["scripted", "llama_cpp"])
async def test_a_chat_for_which_a_template_takes_too_much_memory_is_refused_alone(
    tmp_path: Path, engine: str
) -> None:
    spec = scripted_spec(template=MOODY)
    if engine == "llama_cpp":
        path = tiny_model(tmp_path / "t.gguf", changed={"tokenizer.chat_template": MOODY})
        spec = EngineSpec("toy", engine, str(path), {"context_length": 64, "sessions": 1})
    async with ready(spec) as model:
        before = model.worker_pid, model.encoder_pid
        for way in ("slowly", "at once"):
            with pytest.raises(TemplateRefused, match=STOPPED):
                await model.encode(chat(way))
            assert await model.encode(chat("abc"))

        assert (model.worker_pid, model.encoder_pid) == before
        assert peak_kilobytes(model.encoder_pid or model.worker_pid) < MOST_KILOBYTES


async def test_a_template_that_always_takes_too_much_is_of_no_use_and_its_model_is() -> None:
    async with ready(scripted_spec(template=ADDS_UP)) as model:
        assert re.search(STOPPED, model.facts.template.problem)
        assert peak_kilobytes(model.worker_pid) < MOST_KILOBYTES
        assert await model.encode(TextPrompt("abc"))
