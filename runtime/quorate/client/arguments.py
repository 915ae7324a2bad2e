"""What a caller may set, as keyword arguments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias, TypedDict

StageModels: TypeAlias = str | list[str] | Mapping[str, float | None]
"""Who answers in a stage: one model, or several that vote, with or without weights."""

StageChoice: TypeAlias = StageModels | tuple[StageModels, float | None]
"""A stage of a cascade; a tuple is a stage and the confidence from which its answer is kept."""

Message: TypeAlias = tuple[str, str] | Mapping[str, object]
"""A message of a chat: its role and its content, or a mapping as OpenAI has them.

That has ``role`` and ``content``, of an assistant that called tools ``tool_calls``, and of a tool
``tool_call_id``. A call has ``id``, ``name`` and ``arguments``, a mapping or JSON itself.
"""


class PlanOptions(TypedDict, total=False):
    """The prompt and the plan: name a model, several, stages or a profile, or leave it open.

    None is as good as not given, here and in ``GenerateOptions``.

    Attributes:
        messages: A chat instead of a prompt: pairs of role and content, or mappings. Where the last
            one is the assistant's, the answer goes on with it.
        tools: Functions that the answer to a chat may call: mappings with ``name``, and with
            ``description``, ``parameters`` (a JSON schema, a mapping or JSON itself) and ``strict``
            where they have them; or all of that under ``function``, as OpenAI has it.
        allow_text: Whether members without a chat template may read the messages as a text.
        parse_special: Whether special tokens written in the prompt are special.
        model: One model.
        models: Several models that vote, with or without weights.
        stages: A cascade: at least two stages in rising cost, such as
            ``[("small", 0.7), ["medium", "other"], "large"]``. A tuple is a stage and the
            confidence in [0, 1] from which its answer is kept; without one the server's default
            holds. The last answer is always kept.
        answers: Models that answer on their own, with or without weights: their whole answers vote.
        samples: Answers of each of them; for ``answers`` alone, as the next two.
        select: ``majority`` or ``likelihood``: which answer is kept.
        compare: ``exact``, ``numeric`` or ``choice``: which answers say the same.
        stream_early: Whether the text of a stage, or of the first answer, is streamed before it is
            known to be kept; then a notice of the kind ``ESCALATED`` tells that what follows
            replaces it.
        profile: A named plan of the server's configuration.
        auto: Whether the server chooses, whatever its default profile is.
        rule: ``linear``, ``geometric`` or ``majority``; for ``models`` alone, as the next ten but
            for the weighting, which for ``answers`` is ``static`` or ``confidence``.
        alignment: ``auto``, ``same_vocabulary``, ``byte_exact`` or ``union_top_k``.
        weighting: ``static``, ``bayesian``, ``prompt``, ``confidence`` or ``gated``.
        forgetting: Share of what Bayesian weights keep from byte to byte; 1 forgets nothing.
        beam_epsilon: Share from which a byte-exact vote follows a way to cut the text.
        beam_width: Most of them followed at once.
        drafts: Who guesses tokens ahead of the choice: ``auto``, ``off``, ``prompt`` or a member.
        drafts_most: Most tokens guessed at once.
        gate_leader: Who goes on alone while it is sure, where the weighting is ``gated``.
        gate_threshold: How sure it must be: the least margin between its two best candidates.
        gate_share: Share of tokens at which the others are asked, which moves that.
        failure_policy: ``continue``, ``replay`` or ``fail``, when a member dies.
        request_id: Chosen by the caller, echoed in the answer.
        timeout: Deadline in seconds from now.
    """

    messages: Iterable[Message] | None
    tools: Iterable[Mapping[str, object]] | None
    allow_text: bool | None
    parse_special: bool | None
    model: str | None
    models: Mapping[str, float | None] | Sequence[str] | None
    stages: Sequence[StageChoice] | None
    answers: Mapping[str, float | None] | Sequence[str] | None
    samples: int | None
    select: str | None
    compare: str | None
    stream_early: bool | None
    profile: str | None
    auto: bool | None
    rule: str | None
    alignment: str | None
    weighting: str | None
    forgetting: float | None
    beam_epsilon: float | None
    beam_width: int | None
    drafts: str | None
    drafts_most: int | None
    gate_leader: str | None
    gate_threshold: float | None
    gate_share: float | None
    failure_policy: str | None
    request_id: str | None
    timeout: float | None


class GenerateOptions(PlanOptions, total=False):
    """How an answer is sampled, when it ends, what it may cost, and what the stream shows.

    Attributes:
        temperature: 0 is greedy.
        top_p: Mass of the nucleus.
        top_k: Candidates kept; 0 keeps all.
        min_p: Candidates below this share of the best one's probability are dropped.
        seed: Makes an answer repeatable; below 2^53.
        repetition_penalty: 1 is none.
        presence_penalty: Subtracted once from tokens already generated.
        frequency_penalty: Subtracted for each earlier occurrence of a token.
        logit_bias: Token id to the amount added to its log-prob, in nats.
        max_tokens: Most tokens of the answer.
        max_bytes: Most bytes of the answer.
        stop: Strings before which the answer ends.
        top_logprobs: Number of the mixture's best candidates shown with each token.
        votes: Whether each token comes with each member's vote.
        omit_logprobs: Whether tokens come without their log-prob, which lets some votes draw them
            for less (``DecidedDraft.member_first``).
        latency_ms: Most milliseconds from the request's arrival to the end of the answer.
        energy_joules: Most joules that the models may take.
        usd: Most US dollars that remotes may charge.
        local_only: Whether nothing of the request may leave the server's machine.
        task: Tag of what kind of request it is, such as ``code``; models are chosen by it.
        allow_substitution: Whether another plan may answer where the named one cannot; a notice of
            the kind ``SUBSTITUTED`` or ``FELL_BACK`` then tells. Not given it is as the server is
            configured.
        json_schema: The answer is JSON that is valid under this schema, a mapping or JSON itself.
        regex: The answer matches this regular expression as a whole.
        grammar: The answer is a text of this grammar, in Lark's syntax.
        tool_choice: ``auto``, ``none``, ``required``, or the name of the tool to be called.
        parallel_calls: Whether the answer may make several calls at once. Not given it may, where
            the first member's template knows that.
    """

    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    seed: int | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float] | None
    max_tokens: int | None
    max_bytes: int | None
    stop: Sequence[str] | None
    top_logprobs: int | None
    votes: bool | None
    omit_logprobs: bool | None
    latency_ms: float | None
    energy_joules: float | None
    usd: float | None
    local_only: bool | None
    task: str | None
    allow_substitution: bool | None
    json_schema: Mapping[str, object] | str | None
    regex: str | None
    grammar: str | None
    tool_choice: str | None
    parallel_calls: bool | None


class ChargeOptions(TypedDict, total=False):
    """Which rows of the ledger; None is all.

    Attributes:
        since: Not before this moment, in seconds since 1970.
        until: Before this moment, in seconds since 1970.
        key: Name of the caller's key; "" is what came without one.
        model: A model that took part.
        profile: Name of a profile.
        request_id: The caller's own id of a request.
    """

    since: float | None
    until: float | None
    key: str | None
    model: str | None
    profile: str | None
    request_id: str | None
