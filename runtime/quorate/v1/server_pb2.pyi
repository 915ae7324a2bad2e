from quorate.v1 import plan_pb2 as _plan_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LimitUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIMIT_UNIT_UNSPECIFIED: _ClassVar[LimitUnit]
    LIMIT_UNIT_ITEMS: _ClassVar[LimitUnit]
    LIMIT_UNIT_CHARACTERS: _ClassVar[LimitUnit]
    LIMIT_UNIT_BYTES: _ClassVar[LimitUnit]
    LIMIT_UNIT_VALUE: _ClassVar[LimitUnit]
    LIMIT_UNIT_TOTAL_BYTES: _ClassVar[LimitUnit]
LIMIT_UNIT_UNSPECIFIED: LimitUnit
LIMIT_UNIT_ITEMS: LimitUnit
LIMIT_UNIT_CHARACTERS: LimitUnit
LIMIT_UNIT_BYTES: LimitUnit
LIMIT_UNIT_VALUE: LimitUnit
LIMIT_UNIT_TOTAL_BYTES: LimitUnit

class GetServerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerResponse(_message.Message):
    __slots__ = ("server",)
    SERVER_FIELD_NUMBER: _ClassVar[int]
    server: Server
    def __init__(self, server: _Optional[_Union[Server, _Mapping]] = ...) -> None: ...

class Server(_message.Message):
    __slots__ = ("version", "commit", "started_at", "engines", "machine", "limits", "running", "waiting", "max_running", "max_waiting", "draining", "problem", "tls", "keys")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    MACHINE_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_WAITING_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    version: str
    commit: str
    started_at: float
    engines: _containers.RepeatedCompositeFieldContainer[EngineInfo]
    machine: Machine
    limits: _containers.RepeatedCompositeFieldContainer[FieldLimit]
    running: int
    waiting: int
    max_running: int
    max_waiting: int
    draining: bool
    problem: str
    tls: bool
    keys: bool
    def __init__(self, version: _Optional[str] = ..., commit: _Optional[str] = ..., started_at: _Optional[float] = ..., engines: _Optional[_Iterable[_Union[EngineInfo, _Mapping]]] = ..., machine: _Optional[_Union[Machine, _Mapping]] = ..., limits: _Optional[_Iterable[_Union[FieldLimit, _Mapping]]] = ..., running: _Optional[int] = ..., waiting: _Optional[int] = ..., max_running: _Optional[int] = ..., max_waiting: _Optional[int] = ..., draining: _Optional[bool] = ..., problem: _Optional[str] = ..., tls: _Optional[bool] = ..., keys: _Optional[bool] = ...) -> None: ...

class EngineInfo(_message.Message):
    __slots__ = ("name", "installed", "version")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INSTALLED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    name: str
    installed: bool
    version: str
    def __init__(self, name: _Optional[str] = ..., installed: _Optional[bool] = ..., version: _Optional[str] = ...) -> None: ...

class Machine(_message.Message):
    __slots__ = ("cpu", "cores", "memory_bytes", "gpus", "system")
    CPU_FIELD_NUMBER: _ClassVar[int]
    CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_FIELD_NUMBER: _ClassVar[int]
    cpu: str
    cores: int
    memory_bytes: int
    gpus: _containers.RepeatedScalarFieldContainer[str]
    system: str
    def __init__(self, cpu: _Optional[str] = ..., cores: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., gpus: _Optional[_Iterable[str]] = ..., system: _Optional[str] = ...) -> None: ...

class FieldLimit(_message.Message):
    __slots__ = ("field", "unit", "most")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    field: str
    unit: LimitUnit
    most: int
    def __init__(self, field: _Optional[str] = ..., unit: _Optional[_Union[LimitUnit, str]] = ..., most: _Optional[int] = ...) -> None: ...

class ListProfilesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProfilesResponse(_message.Message):
    __slots__ = ("profiles",)
    PROFILES_FIELD_NUMBER: _ClassVar[int]
    profiles: _containers.RepeatedCompositeFieldContainer[Profile]
    def __init__(self, profiles: _Optional[_Iterable[_Union[Profile, _Mapping]]] = ...) -> None: ...

class Profile(_message.Message):
    __slots__ = ("name", "plan", "models", "ready", "problem", "is_default")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    IS_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    name: str
    plan: _plan_pb2.Plan
    models: _containers.RepeatedScalarFieldContainer[str]
    ready: bool
    problem: str
    is_default: bool
    def __init__(self, name: _Optional[str] = ..., plan: _Optional[_Union[_plan_pb2.Plan, _Mapping]] = ..., models: _Optional[_Iterable[str]] = ..., ready: _Optional[bool] = ..., problem: _Optional[str] = ..., is_default: _Optional[bool] = ...) -> None: ...
