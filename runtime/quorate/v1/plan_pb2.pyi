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

class FailurePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_POLICY_UNSPECIFIED: _ClassVar[FailurePolicy]
    FAILURE_POLICY_CONTINUE: _ClassVar[FailurePolicy]
    FAILURE_POLICY_REPLAY: _ClassVar[FailurePolicy]
    FAILURE_POLICY_FAIL: _ClassVar[FailurePolicy]
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
FAILURE_POLICY_UNSPECIFIED: FailurePolicy
FAILURE_POLICY_CONTINUE: FailurePolicy
FAILURE_POLICY_REPLAY: FailurePolicy
FAILURE_POLICY_FAIL: FailurePolicy

class Plan(_message.Message):
    __slots__ = ("auto", "single", "ensemble", "failure_policy")
    AUTO_FIELD_NUMBER: _ClassVar[int]
    SINGLE_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_POLICY_FIELD_NUMBER: _ClassVar[int]
    auto: AutoPlan
    single: SinglePlan
    ensemble: EnsemblePlan
    failure_policy: FailurePolicy
    def __init__(self, auto: _Optional[_Union[AutoPlan, _Mapping]] = ..., single: _Optional[_Union[SinglePlan, _Mapping]] = ..., ensemble: _Optional[_Union[EnsemblePlan, _Mapping]] = ..., failure_policy: _Optional[_Union[FailurePolicy, str]] = ...) -> None: ...

class AutoPlan(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SinglePlan(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: str
    def __init__(self, model: _Optional[str] = ...) -> None: ...

class EnsemblePlan(_message.Message):
    __slots__ = ("members", "rule", "alignment", "weighting", "forgetting", "beam")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    ALIGNMENT_FIELD_NUMBER: _ClassVar[int]
    WEIGHTING_FIELD_NUMBER: _ClassVar[int]
    FORGETTING_FIELD_NUMBER: _ClassVar[int]
    BEAM_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    rule: CombinationRule
    alignment: Alignment
    weighting: Weighting
    forgetting: float
    beam: ByteBeam
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., rule: _Optional[_Union[CombinationRule, str]] = ..., alignment: _Optional[_Union[Alignment, str]] = ..., weighting: _Optional[_Union[Weighting, str]] = ..., forgetting: _Optional[float] = ..., beam: _Optional[_Union[ByteBeam, _Mapping]] = ...) -> None: ...

class ByteBeam(_message.Message):
    __slots__ = ("epsilon", "width")
    EPSILON_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    epsilon: float
    width: int
    def __init__(self, epsilon: _Optional[float] = ..., width: _Optional[int] = ...) -> None: ...

class Member(_message.Message):
    __slots__ = ("model", "weight")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    model: str
    weight: float
    def __init__(self, model: _Optional[str] = ..., weight: _Optional[float] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("members", "rule", "alignment", "weighting", "failure_policy", "context_tokens", "seed", "profile", "forgetting", "beam")
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
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., rule: _Optional[_Union[CombinationRule, str]] = ..., alignment: _Optional[_Union[Alignment, str]] = ..., weighting: _Optional[_Union[Weighting, str]] = ..., failure_policy: _Optional[_Union[FailurePolicy, str]] = ..., context_tokens: _Optional[int] = ..., seed: _Optional[int] = ..., profile: _Optional[str] = ..., forgetting: _Optional[float] = ..., beam: _Optional[_Union[ByteBeam, _Mapping]] = ...) -> None: ...
