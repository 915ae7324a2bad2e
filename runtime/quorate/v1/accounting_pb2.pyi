from quorate.v1 import inference_pb2 as _inference_pb2
from quorate.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BudgetUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BUDGET_UNIT_UNSPECIFIED: _ClassVar[BudgetUnit]
    BUDGET_UNIT_JOULES: _ClassVar[BudgetUnit]
    BUDGET_UNIT_USD: _ClassVar[BudgetUnit]

class SpendGroup(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SPEND_GROUP_UNSPECIFIED: _ClassVar[SpendGroup]
    SPEND_GROUP_MODEL: _ClassVar[SpendGroup]
    SPEND_GROUP_PROFILE: _ClassVar[SpendGroup]
    SPEND_GROUP_KEY: _ClassVar[SpendGroup]
    SPEND_GROUP_DAY: _ClassVar[SpendGroup]
    SPEND_GROUP_PLAN_KIND: _ClassVar[SpendGroup]
    SPEND_GROUP_TASK: _ClassVar[SpendGroup]
BUDGET_UNIT_UNSPECIFIED: BudgetUnit
BUDGET_UNIT_JOULES: BudgetUnit
BUDGET_UNIT_USD: BudgetUnit
SPEND_GROUP_UNSPECIFIED: SpendGroup
SPEND_GROUP_MODEL: SpendGroup
SPEND_GROUP_PROFILE: SpendGroup
SPEND_GROUP_KEY: SpendGroup
SPEND_GROUP_DAY: SpendGroup
SPEND_GROUP_PLAN_KIND: SpendGroup
SPEND_GROUP_TASK: SpendGroup

class BudgetWindow(_message.Message):
    __slots__ = ("name", "unit", "seconds", "limit", "spent", "held", "left", "resets_in_seconds")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    SPENT_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    RESETS_IN_SECONDS_FIELD_NUMBER: _ClassVar[int]
    name: str
    unit: BudgetUnit
    seconds: float
    limit: float
    spent: float
    held: float
    left: float
    resets_in_seconds: float
    def __init__(self, name: _Optional[str] = ..., unit: _Optional[_Union[BudgetUnit, str]] = ..., seconds: _Optional[float] = ..., limit: _Optional[float] = ..., spent: _Optional[float] = ..., held: _Optional[float] = ..., left: _Optional[float] = ..., resets_in_seconds: _Optional[float] = ...) -> None: ...

class GetBudgetRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class GetBudgetResponse(_message.Message):
    __slots__ = ("windows",)
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    windows: _containers.RepeatedCompositeFieldContainer[BudgetWindow]
    def __init__(self, windows: _Optional[_Iterable[_Union[BudgetWindow, _Mapping]]] = ...) -> None: ...

class ChargeFilter(_message.Message):
    __slots__ = ("since", "until", "key", "model", "profile", "request_id")
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    since: float
    until: float
    key: str
    model: str
    profile: str
    request_id: str
    def __init__(self, since: _Optional[float] = ..., until: _Optional[float] = ..., key: _Optional[str] = ..., model: _Optional[str] = ..., profile: _Optional[str] = ..., request_id: _Optional[str] = ...) -> None: ...

class ModelCharge(_message.Message):
    __slots__ = ("model", "prompt_tokens", "cached_prompt_tokens", "generated_tokens", "busy_ms", "energy", "usd")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BUSY_MS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    model: str
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    busy_ms: float
    energy: _inference_pb2.Energy
    usd: float
    def __init__(self, model: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., busy_ms: _Optional[float] = ..., energy: _Optional[_Union[_inference_pb2.Energy, _Mapping]] = ..., usd: _Optional[float] = ...) -> None: ...

class Charge(_message.Message):
    __slots__ = ("attempt_id", "request_id", "key", "started_at", "finished_at", "policy_version", "plan_kind", "plan", "profile", "task", "candidates", "clause", "outcome", "finish_reason", "prompt_tokens", "cached_prompt_tokens", "generated_tokens", "time_to_first_token_ms", "time_per_token_ms", "duration_ms", "energy", "idle_joules", "price_version", "reserved_usd", "usd", "prompt_hash", "prompt_text", "models", "considered", "decided")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    FINISHED_AT_FIELD_NUMBER: _ClassVar[int]
    POLICY_VERSION_FIELD_NUMBER: _ClassVar[int]
    PLAN_KIND_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    CLAUSE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    FINISH_REASON_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    TIME_PER_TOKEN_MS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    IDLE_JOULES_FIELD_NUMBER: _ClassVar[int]
    PRICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESERVED_USD_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    PROMPT_HASH_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TEXT_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    CONSIDERED_FIELD_NUMBER: _ClassVar[int]
    DECIDED_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    request_id: str
    key: str
    started_at: float
    finished_at: float
    policy_version: str
    plan_kind: _plan_pb2.PlanKind
    plan: str
    profile: str
    task: str
    candidates: str
    clause: str
    outcome: str
    finish_reason: str
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    time_to_first_token_ms: float
    time_per_token_ms: float
    duration_ms: float
    energy: _inference_pb2.Energy
    idle_joules: float
    price_version: str
    reserved_usd: float
    usd: float
    prompt_hash: str
    prompt_text: str
    models: _containers.RepeatedCompositeFieldContainer[ModelCharge]
    considered: _containers.RepeatedCompositeFieldContainer[_plan_pb2.Candidate]
    decided: _plan_pb2.Plan
    def __init__(self, attempt_id: _Optional[str] = ..., request_id: _Optional[str] = ..., key: _Optional[str] = ..., started_at: _Optional[float] = ..., finished_at: _Optional[float] = ..., policy_version: _Optional[str] = ..., plan_kind: _Optional[_Union[_plan_pb2.PlanKind, str]] = ..., plan: _Optional[str] = ..., profile: _Optional[str] = ..., task: _Optional[str] = ..., candidates: _Optional[str] = ..., clause: _Optional[str] = ..., outcome: _Optional[str] = ..., finish_reason: _Optional[str] = ..., prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., time_to_first_token_ms: _Optional[float] = ..., time_per_token_ms: _Optional[float] = ..., duration_ms: _Optional[float] = ..., energy: _Optional[_Union[_inference_pb2.Energy, _Mapping]] = ..., idle_joules: _Optional[float] = ..., price_version: _Optional[str] = ..., reserved_usd: _Optional[float] = ..., usd: _Optional[float] = ..., prompt_hash: _Optional[str] = ..., prompt_text: _Optional[str] = ..., models: _Optional[_Iterable[_Union[ModelCharge, _Mapping]]] = ..., considered: _Optional[_Iterable[_Union[_plan_pb2.Candidate, _Mapping]]] = ..., decided: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ...) -> None: ...

class ListChargesRequest(_message.Message):
    __slots__ = ("filter", "page_size", "page_token")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    filter: ChargeFilter
    page_size: int
    page_token: str
    def __init__(self, filter: _Optional[_Union[ChargeFilter, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListChargesResponse(_message.Message):
    __slots__ = ("charges", "next_page_token")
    CHARGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    charges: _containers.RepeatedCompositeFieldContainer[Charge]
    next_page_token: str
    def __init__(self, charges: _Optional[_Iterable[_Union[Charge, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class Spend(_message.Message):
    __slots__ = ("group", "requests", "prompt_tokens", "generated_tokens", "energy", "without_energy", "usd")
    class GroupEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GROUP_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ENERGY_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_ENERGY_FIELD_NUMBER: _ClassVar[int]
    USD_FIELD_NUMBER: _ClassVar[int]
    group: _containers.ScalarMap[str, str]
    requests: int
    prompt_tokens: int
    generated_tokens: int
    energy: _inference_pb2.Energy
    without_energy: int
    usd: float
    def __init__(self, group: _Optional[_Mapping[str, str]] = ..., requests: _Optional[int] = ..., prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ..., energy: _Optional[_Union[_inference_pb2.Energy, _Mapping]] = ..., without_energy: _Optional[int] = ..., usd: _Optional[float] = ...) -> None: ...

class SummarizeSpendRequest(_message.Message):
    __slots__ = ("filter", "group_by")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    filter: ChargeFilter
    group_by: _containers.RepeatedScalarFieldContainer[SpendGroup]
    def __init__(self, filter: _Optional[_Union[ChargeFilter, _Mapping]] = ..., group_by: _Optional[_Iterable[_Union[SpendGroup, str]]] = ...) -> None: ...

class SummarizeSpendResponse(_message.Message):
    __slots__ = ("spends", "machine")
    SPENDS_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    spends: _containers.RepeatedCompositeFieldContainer[Spend]
    machine: MachineEnergy
    def __init__(self, spends: _Optional[_Iterable[_Union[Spend, _Mapping]]] = ..., machine: _Optional[_Union[MachineEnergy, _Mapping]] = ...) -> None: ...

class MachineEnergy(_message.Message):
    __slots__ = ("tier", "counter_joules", "request_joules", "idle_joules", "unattributed_joules")
    TIER_FIELD_NUMBER: _ClassVar[int]
    COUNTER_JOULES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_JOULES_FIELD_NUMBER: _ClassVar[int]
    IDLE_JOULES_FIELD_NUMBER: _ClassVar[int]
    UNATTRIBUTED_JOULES_FIELD_NUMBER: _ClassVar[int]
    tier: _inference_pb2.EnergyTier
    counter_joules: float
    request_joules: float
    idle_joules: float
    unattributed_joules: float
    def __init__(self, tier: _Optional[_Union[_inference_pb2.EnergyTier, str]] = ..., counter_joules: _Optional[float] = ..., request_joules: _Optional[float] = ..., idle_joules: _Optional[float] = ..., unattributed_joules: _Optional[float] = ...) -> None: ...
