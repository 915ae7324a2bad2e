from quorate.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ToolMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOOL_MODE_UNSPECIFIED: _ClassVar[ToolMode]
    TOOL_MODE_AUTO: _ClassVar[ToolMode]
    TOOL_MODE_NONE: _ClassVar[ToolMode]
    TOOL_MODE_REQUIRED: _ClassVar[ToolMode]

class NoticeKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NOTICE_KIND_UNSPECIFIED: _ClassVar[NoticeKind]
    NOTICE_KIND_MEMBER_DROPPED: _ClassVar[NoticeKind]
    NOTICE_KIND_MEMBER_REPLAYED: _ClassVar[NoticeKind]
    NOTICE_KIND_ESCALATED: _ClassVar[NoticeKind]
    NOTICE_KIND_FELL_BACK: _ClassVar[NoticeKind]
    NOTICE_KIND_MASS_CUT: _ClassVar[NoticeKind]
    NOTICE_KIND_SYSTEM_MOVED: _ClassVar[NoticeKind]
    NOTICE_KIND_SUBSTITUTED: _ClassVar[NoticeKind]
    NOTICE_KIND_FOREIGN_END: _ClassVar[NoticeKind]

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_END_OF_GENERATION: _ClassVar[FinishReason]
    FINISH_REASON_STOP_STRING: _ClassVar[FinishReason]
    FINISH_REASON_MAX_TOKENS: _ClassVar[FinishReason]
    FINISH_REASON_MAX_BYTES: _ClassVar[FinishReason]
    FINISH_REASON_CONTEXT_FULL: _ClassVar[FinishReason]
    FINISH_REASON_CONTENT_FILTER: _ClassVar[FinishReason]
    FINISH_REASON_TOOL_CALLS: _ClassVar[FinishReason]

class EnergyTier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENERGY_TIER_UNSPECIFIED: _ClassVar[EnergyTier]
    ENERGY_TIER_MEASURED: _ClassVar[EnergyTier]
    ENERGY_TIER_ESTIMATED: _ClassVar[EnergyTier]
    ENERGY_TIER_UNAVAILABLE: _ClassVar[EnergyTier]
TOOL_MODE_UNSPECIFIED: ToolMode
TOOL_MODE_AUTO: ToolMode
TOOL_MODE_NONE: ToolMode
TOOL_MODE_REQUIRED: ToolMode
NOTICE_KIND_UNSPECIFIED: NoticeKind
NOTICE_KIND_MEMBER_DROPPED: NoticeKind
NOTICE_KIND_MEMBER_REPLAYED: NoticeKind
NOTICE_KIND_ESCALATED: NoticeKind
NOTICE_KIND_FELL_BACK: NoticeKind
NOTICE_KIND_MASS_CUT: NoticeKind
NOTICE_KIND_SYSTEM_MOVED: NoticeKind
NOTICE_KIND_SUBSTITUTED: NoticeKind
NOTICE_KIND_FOREIGN_END: NoticeKind
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_END_OF_GENERATION: FinishReason
FINISH_REASON_STOP_STRING: FinishReason
FINISH_REASON_MAX_TOKENS: FinishReason
FINISH_REASON_MAX_BYTES: FinishReason
FINISH_REASON_CONTEXT_FULL: FinishReason
FINISH_REASON_CONTENT_FILTER: FinishReason
FINISH_REASON_TOOL_CALLS: FinishReason
ENERGY_TIER_UNSPECIFIED: EnergyTier
ENERGY_TIER_MEASURED: EnergyTier
ENERGY_TIER_ESTIMATED: EnergyTier
ENERGY_TIER_UNAVAILABLE: EnergyTier

class GenerateRequest(_message.Message):
    __slots__ = ("request_id", "prompt", "chat", "plan", "profile", "sampling", "stopping", "json_schema", "regex", "grammar", "response", "budget", "local_only", "task", "allow_substitution", "parse_special", "tool_choice")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    REGEX_FIELD_NUMBER: _ClassVar[int]
    GRAMMAR_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ALLOW_SUBSTITUTION_FIELD_NUMBER: _ClassVar[int]
    PARSE_SPECIAL_FIELD_NUMBER: _ClassVar[int]
    TOOL_CHOICE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    prompt: str
    chat: Chat
    plan: _plan_pb2.Plan
    profile: str
    sampling: SamplingOptions
    stopping: StoppingOptions
    json_schema: str
    regex: str
    grammar: str
    response: ResponseOptions
    budget: Budget
    local_only: bool
    task: str
    allow_substitution: bool
    parse_special: bool
    tool_choice: ToolChoice
    def __init__(self, request_id: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., profile: _Optional[str] = ..., sampling: _Optional[_Union[SamplingOptions, _Mapping]] = ..., stopping: _Optional[_Union[StoppingOptions, _Mapping]] = ..., json_schema: _Optional[str] = ..., regex: _Optional[str] = ..., grammar: _Optional[str] = ..., response: _Optional[_Union[ResponseOptions, _Mapping]] = ..., budget: _Optional[_Union[Budget, _Mapping]] = ..., local_only: _Optional[bool] = ..., task: _Optional[str] = ..., allow_substitution: _Optional[bool] = ..., parse_special: _Optional[bool] = ..., tool_choice: _Optional[_Union[ToolChoice, _Mapping]] = ...) -> None: ...

class Budget(_message.Message):
    __slots__ = ("latency_ms", "energy_joules", "usd")
    LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_JOULES_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    latency_ms: float
    energy_joules: float
    usd: float
    def __init__(self, latency_ms: _Optional[float] = ..., energy_joules: _Optional[float] = ..., usd: _Optional[float] = ...) -> None: ...

class Chat(_message.Message):
    __slots__ = ("messages", "allow_text", "tools")
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ALLOW_TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    messages: _containers.RepeatedCompositeFieldContainer[ChatMessage]
    allow_text: bool
    tools: _containers.RepeatedCompositeFieldContainer[Tool]
    def __init__(self, messages: _Optional[_Iterable[_Union[ChatMessage, _Mapping]]] = ..., allow_text: _Optional[bool] = ..., tools: _Optional[_Iterable[_Union[Tool, _Mapping]]] = ...) -> None: ...

class ChatMessage(_message.Message):
    __slots__ = ("role", "content", "tool_calls", "tool_call_id", "name")
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CONTENT_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    role: str
    content: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCall]
    tool_call_id: str
    name: str
    def __init__(self, role: _Optional[str] = ..., content: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCall, _Mapping]]] = ..., tool_call_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class Tool(_message.Message):
    __slots__ = ("name", "description", "parameters", "strict")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    parameters: str
    strict: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., parameters: _Optional[str] = ..., strict: _Optional[bool] = ...) -> None: ...

class ToolCall(_message.Message):
    __slots__ = ("id", "name", "arguments")
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    arguments: str
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class ToolChoice(_message.Message):
    __slots__ = ("mode", "name", "one_call")
    MODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ONE_CALL_FIELD_NUMBER: _ClassVar[int]
    mode: ToolMode
    name: str
    one_call: bool
    def __init__(self, mode: _Optional[_Union[ToolMode, str]] = ..., name: _Optional[str] = ..., one_call: _Optional[bool] = ...) -> None: ...

class SamplingOptions(_message.Message):
    __slots__ = ("temperature", "top_p", "top_k", "min_p", "seed", "repetition_penalty", "presence_penalty", "frequency_penalty", "logit_bias")
    class LogitBiasEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: int
        value: float
        def __init__(self, key: _Optional[int] = ..., value: _Optional[float] = ...) -> None: ...
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    MIN_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    REPETITION_PENALTY_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_PENALTY_FIELD_NUMBER: _ClassVar[int]
    FREQUENCY_PENALTY_FIELD_NUMBER: _ClassVar[int]
    LOGIT_BIAS_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    seed: int
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    logit_bias: _containers.ScalarMap[int, float]
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., top_k: _Optional[int] = ..., min_p: _Optional[float] = ..., seed: _Optional[int] = ..., repetition_penalty: _Optional[float] = ..., presence_penalty: _Optional[float] = ..., frequency_penalty: _Optional[float] = ..., logit_bias: _Optional[_Mapping[int, float]] = ...) -> None: ...

class StoppingOptions(_message.Message):
    __slots__ = ("max_tokens", "max_bytes", "stop")
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_BYTES_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    max_tokens: int
    max_bytes: int
    stop: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, max_tokens: _Optional[int] = ..., max_bytes: _Optional[int] = ..., stop: _Optional[_Iterable[str]] = ...) -> None: ...

class ResponseOptions(_message.Message):
    __slots__ = ("top_logprobs", "member_votes", "omit_logprobs")
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_VOTES_FIELD_NUMBER: _ClassVar[int]
    OMIT_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    top_logprobs: int
    member_votes: bool
    omit_logprobs: bool
    def __init__(self, top_logprobs: _Optional[int] = ..., member_votes: _Optional[bool] = ..., omit_logprobs: _Optional[bool] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("accepted", "delta", "notice", "finished")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    DELTA_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    accepted: Accepted
    delta: Delta
    notice: Notice
    finished: Finished
    def __init__(self, accepted: _Optional[_Union[Accepted, _Mapping]] = ..., delta: _Optional[_Union[Delta, _Mapping]] = ..., notice: _Optional[_Union[Notice, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("request_id", "decision")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decision: _plan_pb2.Decision
    def __init__(self, request_id: _Optional[str] = ..., decision: _Optional[_Union[_plan_pb2.Decision, _Mapping]] = ...) -> None: ...

class Delta(_message.Message):
    __slots__ = ("text", "tokens", "reasoning", "tool_calls")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALLS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    reasoning: str
    tool_calls: _containers.RepeatedCompositeFieldContainer[ToolCallPart]
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., reasoning: _Optional[str] = ..., tool_calls: _Optional[_Iterable[_Union[ToolCallPart, _Mapping]]] = ...) -> None: ...

class ToolCallPart(_message.Message):
    __slots__ = ("index", "id", "name", "arguments")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    name: str
    arguments: str
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., name: _Optional[str] = ..., arguments: _Optional[str] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("piece", "token_id", "logprob", "top", "votes", "tied", "control")
    PIECE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    TIED_FIELD_NUMBER: _ClassVar[int]
    CONTROL_FIELD_NUMBER: _ClassVar[int]
    piece: bytes
    token_id: int
    logprob: float
    top: _containers.RepeatedCompositeFieldContainer[TopCandidate]
    votes: _containers.RepeatedCompositeFieldContainer[Vote]
    tied: bool
    control: bool
    def __init__(self, piece: _Optional[bytes] = ..., token_id: _Optional[int] = ..., logprob: _Optional[float] = ..., top: _Optional[_Iterable[_Union[TopCandidate, _Mapping]]] = ..., votes: _Optional[_Iterable[_Union[Vote, _Mapping]]] = ..., tied: _Optional[bool] = ..., control: _Optional[bool] = ...) -> None: ...

class TopCandidate(_message.Message):
    __slots__ = ("piece", "token_id", "logprob")
    PIECE_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    piece: bytes
    token_id: int
    logprob: float
    def __init__(self, piece: _Optional[bytes] = ..., token_id: _Optional[int] = ..., logprob: _Optional[float] = ...) -> None: ...

class Vote(_message.Message):
    __slots__ = ("model", "piece", "logprob", "weight", "chosen_logprob")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_LOGPROB_FIELD_NUMBER: _ClassVar[int]
    model: str
    piece: bytes
    logprob: float
    weight: float
    chosen_logprob: float
    def __init__(self, model: _Optional[str] = ..., piece: _Optional[bytes] = ..., logprob: _Optional[float] = ..., weight: _Optional[float] = ..., chosen_logprob: _Optional[float] = ...) -> None: ...

class Notice(_message.Message):
    __slots__ = ("kind", "model", "message")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    kind: NoticeKind
    model: str
    message: str
    def __init__(self, kind: _Optional[_Union[NoticeKind, str]] = ..., model: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("reason", "usage", "request_id", "outcome")
    REASON_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    reason: FinishReason
    usage: Usage
    request_id: str
    outcome: Outcome
    def __init__(self, reason: _Optional[_Union[FinishReason, str]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., request_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, _Mapping]] = ...) -> None: ...

class Outcome(_message.Message):
    __slots__ = ("answers", "groups", "kept", "tied")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    TIED_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[GivenAnswer]
    groups: _containers.RepeatedCompositeFieldContainer[AnswerGroup]
    kept: int
    tied: bool
    def __init__(self, answers: _Optional[_Iterable[_Union[GivenAnswer, _Mapping]]] = ..., groups: _Optional[_Iterable[_Union[AnswerGroup, _Mapping]]] = ..., kept: _Optional[int] = ..., tied: _Optional[bool] = ...) -> None: ...

class GivenAnswer(_message.Message):
    __slots__ = ("model", "sample", "text", "reading", "weight", "confidence", "bits_per_byte", "problem", "ended", "lost")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    READING_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    BITS_PER_BYTE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    model: str
    sample: int
    text: str
    reading: str
    weight: float
    confidence: float
    bits_per_byte: float
    problem: str
    ended: bool
    lost: bool
    def __init__(self, model: _Optional[str] = ..., sample: _Optional[int] = ..., text: _Optional[str] = ..., reading: _Optional[str] = ..., weight: _Optional[float] = ..., confidence: _Optional[float] = ..., bits_per_byte: _Optional[float] = ..., problem: _Optional[str] = ..., ended: _Optional[bool] = ..., lost: _Optional[bool] = ...) -> None: ...

class AnswerGroup(_message.Message):
    __slots__ = ("reading", "answers", "weight")
    READING_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    reading: str
    answers: _containers.RepeatedScalarFieldContainer[int]
    weight: float
    def __init__(self, reading: _Optional[str] = ..., answers: _Optional[_Iterable[int]] = ..., weight: _Optional[float] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "generated_tokens", "time_to_first_token_ms", "duration_ms", "models", "drafted_tokens", "accepted_tokens", "lone_tokens", "step_times")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    DRAFTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LONE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    STEP_TIMES_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    generated_tokens: int
    time_to_first_token_ms: float
    duration_ms: float
    models: _containers.RepeatedCompositeFieldContainer[ModelUsage]
    drafted_tokens: int
    accepted_tokens: int
    lone_tokens: int
    step_times: StepTimes
    def __init__(self, prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., time_to_first_token_ms: _Optional[float] = ..., duration_ms: _Optional[float] = ..., models: _Optional[_Iterable[_Union[ModelUsage, _Mapping]]] = ..., drafted_tokens: _Optional[int] = ..., accepted_tokens: _Optional[int] = ..., lone_tokens: _Optional[int] = ..., step_times: _Optional[_Union[StepTimes, _Mapping]] = ...) -> None: ...

class StepTimes(_message.Message):
    __slots__ = ("decode_ms", "exchange_ms", "turns_ms", "combine_ms", "sample_ms", "stream_ms")
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    EXCHANGE_MS_FIELD_NUMBER: _ClassVar[int]
    TURNS_MS_FIELD_NUMBER: _ClassVar[int]
    COMBINE_MS_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_MS_FIELD_NUMBER: _ClassVar[int]
    STREAM_MS_FIELD_NUMBER: _ClassVar[int]
    decode_ms: float
    exchange_ms: float
    turns_ms: float
    combine_ms: float
    sample_ms: float
    stream_ms: float
    def __init__(self, decode_ms: _Optional[float] = ..., exchange_ms: _Optional[float] = ..., turns_ms: _Optional[float] = ..., combine_ms: _Optional[float] = ..., sample_ms: _Optional[float] = ..., stream_ms: _Optional[float] = ...) -> None: ...

class ModelUsage(_message.Message):
    __slots__ = ("model", "prompt_tokens", "cached_prompt_tokens", "generated_tokens", "busy_ms", "energy", "usd", "dropped_mass", "drafted_tokens", "accepted_tokens", "lone_tokens")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BUSY_MS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    DROPPED_MASS_FIELD_NUMBER: _ClassVar[int]
    DRAFTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LONE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    model: str
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    busy_ms: float
    energy: Energy
    usd: float
    dropped_mass: float
    drafted_tokens: int
    accepted_tokens: int
    lone_tokens: int
    def __init__(self, model: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., busy_ms: _Optional[float] = ..., energy: _Optional[_Union[Energy, _Mapping]] = ..., usd: _Optional[float] = ..., dropped_mass: _Optional[float] = ..., drafted_tokens: _Optional[int] = ..., accepted_tokens: _Optional[int] = ..., lone_tokens: _Optional[int] = ...) -> None: ...

class Energy(_message.Message):
    __slots__ = ("joules", "tier")
    JOULES_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    joules: float
    tier: EnergyTier
    def __init__(self, joules: _Optional[float] = ..., tier: _Optional[_Union[EnergyTier, str]] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("request_id", "prompt", "chat", "plan", "profile", "continuation", "parse_special")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    CONTINUATION_FIELD_NUMBER: _ClassVar[int]
    PARSE_SPECIAL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    prompt: str
    chat: Chat
    plan: _plan_pb2.Plan
    profile: str
    continuation: str
    parse_special: bool
    def __init__(self, request_id: _Optional[str] = ..., prompt: _Optional[str] = ..., chat: _Optional[_Union[Chat, _Mapping]] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., profile: _Optional[str] = ..., continuation: _Optional[str] = ..., parse_special: _Optional[bool] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("request_id", "decision", "logprob", "bytes", "tokens", "usage", "members")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    decision: _plan_pb2.Decision
    logprob: float
    bytes: int
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    usage: Usage
    members: _containers.RepeatedCompositeFieldContainer[MemberScore]
    def __init__(self, request_id: _Optional[str] = ..., decision: _Optional[_Union[_plan_pb2.Decision, _Mapping]] = ..., logprob: _Optional[float] = ..., bytes: _Optional[int] = ..., tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., members: _Optional[_Iterable[_Union[MemberScore, _Mapping]]] = ...) -> None: ...

class MemberScore(_message.Message):
    __slots__ = ("model", "logprob", "tokens", "forwards", "weight", "dropped_mass")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    FORWARDS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_MASS_FIELD_NUMBER: _ClassVar[int]
    model: str
    logprob: float
    tokens: int
    forwards: int
    weight: float
    dropped_mass: float
    def __init__(self, model: _Optional[str] = ..., logprob: _Optional[float] = ..., tokens: _Optional[int] = ..., forwards: _Optional[int] = ..., weight: _Optional[float] = ..., dropped_mass: _Optional[float] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("request",)
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    request: GenerateRequest
    def __init__(self, request: _Optional[_Union[GenerateRequest, _Mapping]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _plan_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_plan_pb2.Decision, _Mapping]] = ...) -> None: ...

class RateRequest(_message.Message):
    __slots__ = ("request_id", "score")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    score: float
    def __init__(self, request_id: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class RateResponse(_message.Message):
    __slots__ = ("vote", "task", "quality_before", "quality")
    VOTE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    QUALITY_BEFORE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    vote: str
    task: str
    quality_before: float
    quality: float
    def __init__(self, vote: _Optional[str] = ..., task: _Optional[str] = ..., quality_before: _Optional[float] = ..., quality: _Optional[float] = ...) -> None: ...
