"""What a remote counted, checked against what was seen of it. Pure.

A count decides what is paid, and nobody but the remote vouches for it. So each is compared with
the sizes of prompt and answer, with the limit that was asked for and with the others; what cannot
be is told, and of two readings the dearer one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quorate.remotes.contract import RemoteUsage

# Tokens of texts have four bytes on average, and long runs of one character some more. So many on
# average, after two long ones, no tokenizer reaches.
_MOST_BYTES_PER_TOKEN = 8
_LONG_TOKENS = 2
# A remote may put a prompt of its own before ours, and think beyond the limit of the answer.
_MOST_OWN_PROMPT_TOKENS = 32_768
_MOST_UNSEEN_TOKENS = 131_072
_FAULTY = -1


@dataclass(frozen=True, slots=True)
class Report:
    """Counts as a remote sent them; None where it did not say.

    Attributes:
        prompt: ``prompt_tokens``, or ``input_tokens``.
        cached: ``cached_tokens`` of the prompt's details.
        generated: ``completion_tokens``, or ``output_tokens``.
        reasoning: ``reasoning_tokens`` of the answer's details.
        total: ``total_tokens``.
        faulty: Whether some field held what is no count, such as -1.
    """

    prompt: int | None = None
    cached: int | None = None
    generated: int | None = None
    reasoning: int | None = None
    total: int | None = None
    faulty: bool = False

    def joined(self, later: Report) -> Report:
        """With a later report of the same answer: counts grow, and none is taken back."""
        return Report(
            prompt=_larger(self.prompt, later.prompt),
            cached=self.cached if later.cached is None else later.cached,
            generated=_larger(self.generated, later.generated),
            reasoning=_larger(self.reasoning, later.reasoning),
            total=_larger(self.total, later.total),
            faulty=self.faulty or later.faulty,
        )

    @property
    def says_nothing(self) -> bool:
        """Whether nothing in it is more than zero."""
        return not (self.prompt or self.generated or self.reasoning or self.total)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a call without the remote's word.

    Attributes:
        prompt_bytes: Size of the prompt's texts in UTF-8.
        most_prompt_tokens: Tokens that it can have in any tokenizer.
        max_tokens: What the answer was limited to.
        answer_bytes: Size of what was streamed, shown reasoning included.
        estimated_tokens: Tokens of that, as estimated here.
    """

    prompt_bytes: int
    most_prompt_tokens: int
    max_tokens: int
    answer_bytes: int
    estimated_tokens: int


def read_report(value: object) -> Report | None:
    """Reads an object ``usage``; None where there is none."""
    if not isinstance(value, dict):
        return None
    prompt = _count(value, "prompt_tokens", "input_tokens")
    generated = _count(value, "completion_tokens", "output_tokens")
    total = _count(value, "total_tokens")
    cached = _count(
        _details(value, "prompt_tokens_details", "input_tokens_details"), "cached_tokens"
    )
    reasoning = _count(
        _details(value, "completion_tokens_details", "output_tokens_details"), "reasoning_tokens"
    )
    return Report(
        prompt=_known(prompt),
        cached=_known(cached),
        generated=_known(generated),
        reasoning=_known(reasoning),
        total=_known(total),
        faulty=_FAULTY in (prompt, cached, generated, reasoning, total),
    )


def believed(report: Report | None, seen: Seen) -> tuple[RemoteUsage, tuple[str, ...]]:
    """What counts of a report, and what is wrong with it, in a few words each.

    Where nothing is wrong the report counts, with the tokens that ``total_tokens`` has beyond the
    others as generated ones: reasoning that a remote charges for and leaves out of
    ``completion_tokens``. Where anything is wrong no discount holds, and each count is at least
    what was estimated here. A prompt that is not known is None, which stands for all the tokens
    that it can have.
    """
    if report is None:
        return RemoteUsage(), ()
    if report.says_nothing:
        return RemoteUsage(), ("counted no tokens at all",)
    doubts = ["sent a count that is none"] if report.faulty else []
    prompt, cached = _prompt(report, seen, doubts)
    generated = _generated(report, prompt, seen, doubts)
    if not doubts:
        return RemoteUsage(prompt, cached, generated), ()
    dearer = prompt if prompt is not None and prompt > seen.most_prompt_tokens else None
    least = max(generated or 0, seen.estimated_tokens)
    return RemoteUsage(dearer, None, least), tuple(doubts)


def _prompt(report: Report, seen: Seen, doubts: list[str]) -> tuple[int | None, int | None]:
    """Tokens of the prompt and the cached ones among them."""
    prompt, cached = report.prompt, report.cached
    if prompt is None:
        return None, None
    if cached is not None and cached > prompt:
        if prompt + cached <= seen.most_prompt_tokens:
            # Some count only what was not cached.
            prompt += cached
        else:
            doubts.append(f"counted {cached} cached tokens of a prompt of {prompt}")
            cached = None
    if prompt > seen.most_prompt_tokens + _MOST_OWN_PROMPT_TOKENS:
        doubts.append(f"counted {prompt} tokens for a prompt of {seen.prompt_bytes} bytes")
        return None, None
    if not prompt or _too_few(prompt, seen.prompt_bytes):
        doubts.append(f"counted {prompt} tokens for a prompt of {seen.prompt_bytes} bytes")
    return prompt, cached


def _generated(report: Report, prompt: int | None, seen: Seen, doubts: list[str]) -> int | None:
    """Tokens of the answer, with what was generated and not streamed."""
    told, reasoning, total = report.generated, report.reasoning or 0, report.total
    if told is None:
        told = max(0, total - prompt) if total and prompt is not None else reasoning or None
        if told is None:
            return None
    elif total and total >= (prompt or 0) + told:
        inside = total - prompt if prompt is not None else told
        told = max(inside, told + reasoning if reasoning > told else told)
    else:
        if total:
            doubts.append(f"counted {total} tokens in total, fewer than the parts")
        # Nothing says that the reasoning is a part of the others.
        told += reasoning
    if told > seen.max_tokens + _MOST_UNSEEN_TOKENS:
        doubts.append(f"counted {told} tokens where {seen.max_tokens} were the limit")
        return seen.max_tokens
    if (seen.answer_bytes and not told) or _too_few(told, seen.answer_bytes):
        doubts.append(f"counted {told} tokens for an answer of {seen.answer_bytes} bytes")
    return told


def _too_few(tokens: int, size: int) -> bool:
    return size > _MOST_BYTES_PER_TOKEN * (tokens + _LONG_TOKENS)


def _larger(first: int | None, second: int | None) -> int | None:
    known = [count for count in (first, second) if count is not None]
    return max(known, default=None)


def _known(count: int | None) -> int | None:
    return None if count == _FAULTY else count


def _details(value: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        details = value.get(name)
        if isinstance(details, dict):
            return details
    return {}


def _count(value: Mapping[str, Any], *names: str) -> int | None:
    """The first of these fields that is there; ``_FAULTY`` where it holds no count."""
    found = next((value[name] for name in names if value.get(name) is not None), None)
    if isinstance(found, float) and found.is_integer():
        # Some servers write every number as a float.
        found = int(found)
    if found is None:
        return None
    return found if type(found) is int and found >= 0 else _FAULTY
