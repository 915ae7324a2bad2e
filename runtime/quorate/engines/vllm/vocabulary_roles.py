"""Which tokens are control tokens and which end an answer, as llama.cpp decides it.

A GGUF file and the checkpoint it was made from vote token by token only if both say the same of
every token. What is special is therefore taken from a checkpoint's own flags and then corrected the
way llama.cpp's converter (``conversion/base.py``) and loader (``llama_vocab``) correct it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

_ENDS = frozenset(
    {
        "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>",
        "<end_of_turn>", "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]",
        "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "[e~[",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
    }
)  # fmt: skip
# Between documents and files of code; what fills in the middle ends where one of them comes.
_FILL_IN_ENDS = frozenset(
    {
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>",
        "<|file_sep|>",
    }
)  # fmt: skip
_FILL_IN_MARKS = frozenset(
    {
        "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>", "<PRE>",
        "\u2581<PRE>", "<|code_prefix|>", "<|prefix|>",
        "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>", "<SUF>",
        "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>",
        "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim\u2581end\uff5c>", "<MID>",
        "\u2581<MID>", "<|code_middle|>", "<|middle|>",
    }
)  # fmt: skip
# Marks inside of an answer of gpt-oss and its like: special, and yet part of the text.
_SPOKEN = frozenset({"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"})
# Where all tokens of one of these exist, "<|end|>" ends only a part of an answer.
_PARTED = (
    {"<|return|>", "<|call|>"},
    {"<|return|>", "<|calls|>"},
    {"<|flush|>", "<|call|>"},
    {"<|flush|>", "<|calls|>"},
)
_PART_END = frozenset({"<|end|>"})
# Where one of these exists, "</s>" is markup as in HTML.
_MARKS_UP = frozenset({"<|tool_response>", "<|plamo:eos|>"})
_MARKUP = frozenset({"</s>"})
_ADDED_PLACEHOLDERS = frozenset({"<pad>", "<mask>", "<2mass>", "[@BOS@]"})


@dataclass(frozen=True, slots=True)
class Roles:
    """What the tokens of a vocabulary are, besides text.

    Attributes:
        control: Ids without bytes.
        ends: Those of them that end an answer.
        spoken: Ids that only a template may write, but whose text is part of an answer.
        unused: Control tokens that stand for nothing.
    """

    control: frozenset[int]
    ends: frozenset[int]
    spoken: frozenset[int]
    unused: frozenset[int]


def assign_roles(
    texts: Mapping[int, str],
    added: Collection[int],
    special: Collection[int],
    ends: Collection[int],
) -> Roles:
    """Says which tokens are more than text.

    Args:
        texts: Every token's text.
        added: Ids of tokens that were added to the vocabulary rather than learned.
        special: Ids that the checkpoint itself calls special or unknown.
        ends: Ids that the checkpoint itself ends its answers with.
    """
    known = frozenset(texts.values())
    spoken_texts = _SPOKEN | (_PART_END if any(marks <= known for marks in _PARTED) else set())
    plain_texts = spoken_texts | (_MARKUP if known & _MARKS_UP else set())

    def having(wanted: Collection[str]) -> set[int]:
        return {token for token, text in texts.items() if text in wanted}

    ending = having((_ENDS | _FILL_IN_ENDS) - plain_texts).union(ends)
    control = having(_FILL_IN_MARKS).union(special)
    control |= {token for token in added if _looks_special(texts[token])}
    control = (control - having(plain_texts)) | ending
    return Roles(
        frozenset(control),
        frozenset(ending),
        frozenset(having(spoken_texts) - ending),
        frozenset(token for token in control if "unused" in texts[token]),
    )


def _looks_special(text: str) -> bool:
    """Whether an added token is meant to be special, though nobody flagged it as such."""
    return (
        text in _ADDED_PLACEHOLDERS
        or (text.startswith("<|") and text.endswith("|>"))
        or (text.startswith("<\uff5c") and text.endswith("\uff5c>"))
        or (text.startswith("<unused") and text.endswith(">"))
    )
