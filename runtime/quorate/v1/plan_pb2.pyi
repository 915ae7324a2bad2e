from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CombinationRule(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMBINATION_RULE_UNSPECIFIED: _ClassVar[CombinationRule]
    COMBINATION_RULE_LINEAR: _ClassVar[CombinationRule]
    COMBINATION_RULE_GEOMETRIC: _ClassVar[CombinationRule]
    COMBINATION_RULE_MAJORITY: _ClassVar[CombinationRule]

class Alignment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ALIGNMENT_UNSPECIFIED: _ClassVar[Alignment]
    ALIGNMENT_AUTO: _ClassVar[Alignment]
    ALIGNMENT_SAME_VOCABULARY: _ClassVar[Alignment]
    ALIGNMENT_BYTE_EXACT: _ClassVar[Alignment]
    ALIGNMENT_UNION_TOP_K: _ClassVar[Alignment]

class Weighting(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEIGHTING_UNSPECIFIED: _ClassVar[Weighting]
    WEIGHTING_STATIC: _ClassVar[Weighting]
    WEIGHTING_BAYESIAN: _ClassVar[Weighting]
    WEIGHTING_PROMPT: _ClassVar[Weighting]
    WEIGHTING_CONFIDENCE: _ClassVar[Weighting]
    WEIGHTING_GATED: _ClassVar[Weighting]

class FailurePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_POLICY_UNSPECIFIED: _ClassVar[FailurePolicy]
    FAILURE_POLICY_CONTINUE: _ClassVar[FailurePolicy]
    FAILURE_POLICY_REPLAY: _ClassVar[FailurePolicy]
    FAILURE_POLICY_FAIL: _ClassVar[FailurePolicy]

class DraftMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DRAFT_MODE_UNSPECIFIED: _ClassVar[DraftMode]
    DRAFT_MODE_AUTO: _ClassVar[DraftMode]
    DRAFT_MODE_OFF: _ClassVar[DraftMode]
    DRAFT_MODE_PROMPT: _ClassVar[DraftMode]

class Selection(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SELECTION_UNSPECIFIED: _ClassVar[Selection]
    SELECTION_MAJORITY: _ClassVar[Selection]
    SELECTION_LIKELIHOOD: _ClassVar[Selection]

class Comparison(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    COMPARISON_UNSPECIFIED: _ClassVar[Comparison]
    COMPARISON_EXACT: _ClassVar[Comparison]
    COMPARISON_NUMERIC: _ClassVar[Comparison]
    COMPARISON_CHOICE: _ClassVar[Comparison]

class PlanKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PLAN_KIND_UNSPECIFIED: _ClassVar[PlanKind]
    PLAN_KIND_SINGLE: _ClassVar[PlanKind]
    PLAN_KIND_ENSEMBLE: _ClassVar[PlanKind]
    PLAN_KIND_CASCADE: _ClassVar[PlanKind]
    PLAN_KIND_REMOTE: _ClassVar[PlanKind]
    PLAN_KIND_ANSWERS: _ClassVar[PlanKind]

class Clause(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLAUSE_UNSPECIFIED: _ClassVar[Clause]
    CLAUSE_LATENCY: _ClassVar[Clause]
    CLAUSE_ENERGY: _ClassVar[Clause]
    CLAUSE_ENERGY_WINDOW: _ClassVar[Clause]
    CLAUSE_USD: _ClassVar[Clause]
    CLAUSE_USD_WINDOW: _ClassVar[Clause]
    CLAUSE_CAPACITY: _ClassVar[Clause]
    CLAUSE_HEALTH: _ClassVar[Clause]
    CLAUSE_CONTEXT: _ClassVar[Clause]
    CLAUSE_UNSUPPORTED: _ClassVar[Clause]
    CLAUSE_TASK: _ClassVar[Clause]
    CLAUSE_PRICE_UNKNOWN: _ClassVar[Clause]
    CLAUSE_LOCAL_ONLY: _ClassVar[Clause]
    CLAUSE_WITHIN_BUDGET: _ClassVar[Clause]
    CLAUSE_FAILED_BEFORE: _ClassVar[Clause]
    CLAUSE_TEMPLATE: _ClassVar[Clause]

class InputForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    INPUT_FORM_UNSPECIFIED: _ClassVar[InputForm]
    INPUT_FORM_TEXT: _ClassVar[InputForm]
    INPUT_FORM_CHAT: _ClassVar[InputForm]
    INPUT_FORM_MIXED: _ClassVar[InputForm]
COMBINATION_RULE_UNSPECIFIED: CombinationRule
COMBINATION_RULE_LINEAR: CombinationRule
COMBINATION_RULE_GEOMETRIC: CombinationRule
COMBINATION_RULE_MAJORITY: CombinationRule
ALIGNMENT_UNSPECIFIED: Alignment
ALIGNMENT_AUTO: Alignment
ALIGNMENT_SAME_VOCABULARY: Alignment
ALIGNMENT_BYTE_EXACT: Alignment
ALIGNMENT_UNION_TOP_K: Alignment
WEIGHTING_UNSPECIFIED: Weighting
WEIGHTING_STATIC: Weighting
WEIGHTING_BAYESIAN: Weighting
WEIGHTING_PROMPT: Weighting
WEIGHTING_CONFIDENCE: Weighting
WEIGHTING_GATED: Weighting
FAILURE_POLICY_UNSPECIFIED: FailurePolicy
FAILURE_POLICY_CONTINUE: FailurePolicy
FAILURE_POLICY_REPLAY: FailurePolicy
FAILURE_POLICY_FAIL: FailurePolicy
DRAFT_MODE_UNSPECIFIED: DraftMode
DRAFT_MODE_AUTO: DraftMode
DRAFT_MODE_OFF: DraftMode
DRAFT_MODE_PROMPT: DraftMode
SELECTION_UNSPECIFIED: Selection
SELECTION_MAJORITY: Selection
SELECTION_LIKELIHOOD: Selection
COMPARISON_UNSPECIFIED: Comparison
COMPARISON_EXACT: Comparison
COMPARISON_NUMERIC: Comparison
COMPARISON_CHOICE: Comparison
PLAN_KIND_UNSPECIFIED: PlanKind
PLAN_KIND_SINGLE: PlanKind
PLAN_KIND_ENSEMBLE: PlanKind
PLAN_KIND_CASCADE: PlanKind
PLAN_KIND_REMOTE: PlanKind
PLAN_KIND_ANSWERS: PlanKind
CLAUSE_UNSPECIFIED: Clause
CLAUSE_LATENCY: Clause
CLAUSE_ENERGY: Clause
CLAUSE_ENERGY_WINDOW: Clause
CLAUSE_USD: Clause
CLAUSE_USD_WINDOW: Clause
CLAUSE_CAPACITY: Clause
CLAUSE_HEALTH: Clause
CLAUSE_CONTEXT: Clause
CLAUSE_UNSUPPORTED: Clause
CLAUSE_TASK: Clause
CLAUSE_PRICE_UNKNOWN: Clause
CLAUSE_LOCAL_ONLY: Clause
CLAUSE_WITHIN_BUDGET: Clause
CLAUSE_FAILED_BEFORE: Clause
CLAUSE_TEMPLATE: Clause
INPUT_FORM_UNSPECIFIED: InputForm
INPUT_FORM_TEXT: InputForm
INPUT_FORM_CHAT: InputForm
INPUT_FORM_MIXED: InputForm

class Draft(_message.Message):
    __slots__ = ("mode", "model", "most")
    MODE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    mode: DraftMode
    model: str
    most: int
    def __init__(self, mode: _Optional[_Union[DraftMode, str]] = ..., model: _Optional[str] = ..., most: _Optional[int] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("leader", "threshold", "share")
    LEADER_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    leader: str
    threshold: float
    share: float
    def __init__(self, leader: _Optional[str] = ..., threshold: _Optional[float] = ..., share: _Optional[float] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("auto", "single", "ensemble", "cascade", "answers", "failure_policy")
    AUTO_FIELD_NUMBER: _ClassVar[int]
    SINGLE_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    CASCADE_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    FAILURE_POLICY_FIELD_NUMBER: _ClassVar[int]
    auto: AutoPlan
    single: SinglePlan
    ensemble: EnsemblePlan
    cascade: CascadePlan
    answers: AnswersPlan
    failure_policy: FailurePolicy
    def __init__(self, auto: _Optional[_Union[AutoPlan, _Mapping]] = ..., single: _Optional[_Union[SinglePlan, _Mapping]] = ..., ensemble: _Optional[_Union[EnsemblePlan, _Mapping]] = ..., cascade: _Optional[_Union[CascadePlan, _Mapping]] = ..., answers: _Optional[_Union[AnswersPlan, _Mapping]] = ..., failure_policy: _Optional[_Union[FailurePolicy, str]] = ...) -> None: ...

class AutoPlan(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SinglePlan(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class EnsemblePlan(_message.Message):
    __slots__ = ("members", "rule", "alignment", "weighting", "forgetting", "beam", "draft", "gate")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    ALIGNMENT_FIELD_NUMBER: _ClassVar[int]
    WEIGHTING_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    BEAM_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    rule: CombinationRule
    alignment: Alignment
    weighting: Weighting
    forgetting: float
    beam: ByteBeam
    draft: Draft
    gate: Gate
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., rule: _Optional[_Union[CombinationRule, str]] = ..., alignment: _Optional[_Union[Alignment, str]] = ..., weighting: _Optional[_Union[Weighting, str]] = ..., forgetting: _Optional[float] = ..., beam: _Optional[_Union[ByteBeam, _Mapping]] = ..., draft: _Optional[_Union[Draft, _Mapping]] = ..., gate: _Optional[_Union[Gate, _Mapping]] = ...) -> None: ...

class ByteBeam(_message.Message):
    __slots__ = ("epsilon", "width")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    width: int
    def __init__(self, epsilon: _Optional[float] = ..., width: _Optional[int] = ...) -> None: ...

class CascadePlan(_message.Message):
    __slots__ = ("stages", "stream_early")
    STAGES_FIELD_NUMBER: _ClassVar[int]
    STREAM_EARLY_FIELD_NUMBER: _ClassVar[int]
    stages: _containers.RepeatedCompositeFieldContainer[CascadeStage]
    stream_early: bool
    def __init__(self, stages: _Optional[_Iterable[_Union[CascadeStage, _Mapping]]] = ..., stream_early: _Optional[bool] = ...) -> None: ...

class CascadeStage(_message.Message):
    __slots__ = ("single", "ensemble", "confidence")
    SINGLE_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    single: SinglePlan
    ensemble: EnsemblePlan
    confidence: float
    def __init__(self, single: _Optional[_Union[SinglePlan, _Mapping]] = ..., ensemble: _Optional[_Union[EnsemblePlan, _Mapping]] = ..., confidence: _Optional[float] = ...) -> None: ...

class AnswersPlan(_message.Message):
    __slots__ = ("members", "samples", "select", "compare", "weighting", "stream_early")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTING_FIELD_NUMBER: _ClassVar[int]
    STREAM_EARLY_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    samples: int
    select: Selection
    compare: Comparison
    weighting: Weighting
    stream_early: bool
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., samples: _Optional[int] = ..., select: _Optional[_Union[Selection, str]] = ..., compare: _Optional[_Union[Comparison, str]] = ..., weighting: _Optional[_Union[Weighting, str]] = ..., stream_early: _Optional[bool] = ...) -> None: ...

class Rejection(_message.Message):
    __slots__ = ("clause", "message", "predicted", "limit")
    CLAUSE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PREDICTED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    clause: Clause
    message: str
    predicted: float
    limit: float
    def __init__(self, clause: _Optional[_Union[Clause, str]] = ..., message: _Optional[str] = ..., predicted: _Optional[float] = ..., limit: _Optional[float] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("name", "kind", "models", "time_ms", "time_q90_ms", "joules", "joules_q90", "usd", "usd_ceiling", "quality", "cost", "cold", "rejections", "chosen", "limited_by_tokens")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    TIME_Q90_MS_FIELD_NUMBER: _ClassVar[int]
    JOULES_FIELD_NUMBER: _ClassVar[int]
    JOULES_Q90_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    USD_CEILING_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    COLD_FIELD_NUMBER: _ClassVar[int]
    REJECTIONS_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    LIMITED_BY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: PlanKind
    models: _containers.RepeatedScalarFieldContainer[str]
    time_ms: float
    time_q90_ms: float
    joules: float
    joules_q90: float
    usd: float
    usd_ceiling: float
    quality: float
    cost: float
    cold: bool
    rejections: _containers.RepeatedCompositeFieldContainer[Rejection]
    chosen: bool
    limited_by_tokens: int
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[_Union[PlanKind, str]] = ..., models: _Optional[_Iterable[str]] = ..., time_ms: _Optional[float] = ..., time_q90_ms: _Optional[float] = ..., joules: _Optional[float] = ..., joules_q90: _Optional[float] = ..., usd: _Optional[float] = ..., usd_ceiling: _Optional[float] = ..., quality: _Optional[float] = ..., cost: _Optional[float] = ..., cold: _Optional[bool] = ..., rejections: _Optional[_Iterable[_Union[Rejection, _Mapping]]] = ..., chosen: _Optional[bool] = ..., limited_by_tokens: _Optional[int] = ...) -> None: ...

class DecidedStage(_message.Message):
    __slots__ = ("decision", "confidence")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    decision: Decision
    confidence: float
    def __init__(self, decision: _Optional[_Union[Decision, _Mapping]] = ..., confidence: _Optional[float] = ...) -> None: ...

class DecidedAnswers(_message.Message):
    __slots__ = ("votes", "samples", "select", "compare", "weighting", "judge")
    VOTES_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    SELECT_FIELD_NUMBER: _ClassVar[int]
    COMPARE_FIELD_NUMBER: _ClassVar[int]
    WEIGHTING_FIELD_NUMBER: _ClassVar[int]
    JUDGE_FIELD_NUMBER: _ClassVar[int]
    votes: _containers.RepeatedCompositeFieldContainer[Decision]
    samples: int
    select: Selection
    compare: Comparison
    weighting: Weighting
    judge: Decision
    def __init__(self, votes: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ..., samples: _Optional[int] = ..., select: _Optional[_Union[Selection, str]] = ..., compare: _Optional[_Union[Comparison, str]] = ..., weighting: _Optional[_Union[Weighting, str]] = ..., judge: _Optional[_Union[Decision, _Mapping]] = ...) -> None: ...

class DecidedDraft(_message.Message):
    __slots__ = ("model", "most", "problem", "member_first")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    MEMBER_FIRST_FIELD_NUMBER: _ClassVar[int]
    model: str
    most: int
    problem: str
    member_first: bool
    def __init__(self, model: _Optional[str] = ..., most: _Optional[int] = ..., problem: _Optional[str] = ..., member_first: _Optional[bool] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("model", "weight")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    model: str
    weight: float
    def __init__(self, model: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("members", "rule", "alignment", "weighting", "failure_policy", "context_tokens", "seed", "profile", "forgetting", "beam", "kind", "stages", "remote", "candidates", "over_budget", "explored", "task", "stream_early", "input_form", "text_members", "system_moved", "instead_of", "draft", "answers", "gate")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    ALIGNMENT_FIELD_NUMBER: _ClassVar[int]
    WEIGHTING_FIELD_NUMBER: _ClassVar[int]
    FAILURE_POLICY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    BEAM_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    REMOTE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    OVER_BUDGET_FIELD_NUMBER: _ClassVar[int]
    EXPLORED_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    STREAM_EARLY_FIELD_NUMBER: _ClassVar[int]
    INPUT_FORM_FIELD_NUMBER: _ClassVar[int]
    TEXT_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_MOVED_FIELD_NUMBER: _ClassVar[int]
    INSTEAD_OF_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    rule: CombinationRule
    alignment: Alignment
    weighting: Weighting
    failure_policy: FailurePolicy
    context_tokens: int
    seed: int
    profile: str
    forgetting: float
    beam: ByteBeam
    kind: PlanKind
    stages: _containers.RepeatedCompositeFieldContainer[DecidedStage]
    remote: str
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    over_budget: Rejection
    explored: bool
    task: str
    stream_early: bool
    input_form: InputForm
    text_members: _containers.RepeatedScalarFieldContainer[str]
    system_moved: _containers.RepeatedScalarFieldContainer[str]
    instead_of: str
    draft: DecidedDraft
    answers: DecidedAnswers
    gate: Gate
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., rule: _Optional[_Union[CombinationRule, str]] = ..., alignment: _Optional[_Union[Alignment, str]] = ..., weighting: _Optional[_Union[Weighting, str]] = ..., failure_policy: _Optional[_Union[FailurePolicy, str]] = ..., context_tokens: _Optional[int] = ..., seed: _Optional[int] = ..., profile: _Optional[str] = ..., forgetting: _Optional[float] = ..., beam: _Optional[_Union[ByteBeam, _Mapping]] = ..., kind: _Optional[_Union[PlanKind, str]] = ..., stages: _Optional[_Iterable[_Union[DecidedStage, _Mapping]]] = ..., remote: _Optional[str] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., over_budget: _Optional[_Union[Rejection, _Mapping]] = ..., explored: _Optional[bool] = ..., task: _Optional[str] = ..., stream_early: _Optional[bool] = ..., input_form: _Optional[_Union[InputForm, str]] = ..., text_members: _Optional[_Iterable[str]] = ..., system_moved: _Optional[_Iterable[str]] = ..., instead_of: _Optional[str] = ..., draft: _Optional[_Union[DecidedDraft, _Mapping]] = ..., answers: _Optional[_Union[DecidedAnswers, _Mapping]] = ..., gate: _Optional[_Union[Gate, _Mapping]] = ...) -> None: ...
