import datetime

from google.protobuf import empty_pb2 as _empty_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecutionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXECUTION_STATE_UNSPECIFIED: _ClassVar[ExecutionState]
    EXECUTION_RUNNING: _ClassVar[ExecutionState]
    EXECUTION_COMPLETED: _ClassVar[ExecutionState]
    EXECUTION_FAILED: _ClassVar[ExecutionState]
    EXECUTION_SLEEPING: _ClassVar[ExecutionState]
    EXECUTION_WAITING_FOR_APPROVAL: _ClassVar[ExecutionState]
    EXECUTION_PAUSED: _ClassVar[ExecutionState]
EXECUTION_STATE_UNSPECIFIED: ExecutionState
EXECUTION_RUNNING: ExecutionState
EXECUTION_COMPLETED: ExecutionState
EXECUTION_FAILED: ExecutionState
EXECUTION_SLEEPING: ExecutionState
EXECUTION_WAITING_FOR_APPROVAL: ExecutionState
EXECUTION_PAUSED: ExecutionState

class GetExecutionStatusRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class ExecutionStatus(_message.Message):
    __slots__ = ("execution_id", "workflow_name", "status", "started_at", "completed_at", "current_step_index", "total_steps", "current_step_name", "completed_steps", "inputs", "step_outputs", "error", "sleep_info", "approval_info")
    class StepOutputsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _struct_pb2.Struct
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOTAL_STEPS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    STEP_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SLEEP_INFO_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_INFO_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    workflow_name: str
    status: ExecutionState
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    current_step_index: int
    total_steps: int
    current_step_name: str
    completed_steps: _containers.RepeatedCompositeFieldContainer[StepStatus]
    inputs: _struct_pb2.Struct
    step_outputs: _containers.MessageMap[str, _struct_pb2.Struct]
    error: ErrorInfo
    sleep_info: SleepInfo
    approval_info: ApprovalInfo
    def __init__(self, execution_id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., status: _Optional[_Union[ExecutionState, str]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., current_step_index: _Optional[int] = ..., total_steps: _Optional[int] = ..., current_step_name: _Optional[str] = ..., completed_steps: _Optional[_Iterable[_Union[StepStatus, _Mapping]]] = ..., inputs: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., step_outputs: _Optional[_Mapping[str, _struct_pb2.Struct]] = ..., error: _Optional[_Union[ErrorInfo, _Mapping]] = ..., sleep_info: _Optional[_Union[SleepInfo, _Mapping]] = ..., approval_info: _Optional[_Union[ApprovalInfo, _Mapping]] = ...) -> None: ...

class StepStatus(_message.Message):
    __slots__ = ("step_name", "step_index", "status", "started_at", "completed_at", "duration_seconds", "output", "error")
    STEP_NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_INDEX_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    step_name: str
    step_index: int
    status: str
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    duration_seconds: int
    output: _struct_pb2.Struct
    error: ErrorInfo
    def __init__(self, step_name: _Optional[str] = ..., step_index: _Optional[int] = ..., status: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., duration_seconds: _Optional[int] = ..., output: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[_Union[ErrorInfo, _Mapping]] = ...) -> None: ...

class SleepInfo(_message.Message):
    __slots__ = ("duration_ms", "sleep_started_at", "remaining_ms", "data")
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    SLEEP_STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_MS_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    duration_ms: int
    sleep_started_at: _timestamp_pb2.Timestamp
    remaining_ms: int
    data: _struct_pb2.Struct
    def __init__(self, duration_ms: _Optional[int] = ..., sleep_started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., remaining_ms: _Optional[int] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ApprovalInfo(_message.Message):
    __slots__ = ("approval_type", "data", "timeout_ms", "requested_at", "remaining_timeout_ms")
    APPROVAL_TYPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_AT_FIELD_NUMBER: _ClassVar[int]
    REMAINING_TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    approval_type: str
    data: _struct_pb2.Struct
    timeout_ms: int
    requested_at: _timestamp_pb2.Timestamp
    remaining_timeout_ms: int
    def __init__(self, approval_type: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., requested_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., remaining_timeout_ms: _Optional[int] = ...) -> None: ...

class ErrorInfo(_message.Message):
    __slots__ = ("kind", "message", "stacktrace")
    KIND_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STACKTRACE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    message: str
    stacktrace: str
    def __init__(self, kind: _Optional[str] = ..., message: _Optional[str] = ..., stacktrace: _Optional[str] = ...) -> None: ...

class ListExecutionsRequest(_message.Message):
    __slots__ = ("workflow_name", "status", "limit", "offset")
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    workflow_name: str
    status: ExecutionState
    limit: int
    offset: int
    def __init__(self, workflow_name: _Optional[str] = ..., status: _Optional[_Union[ExecutionState, str]] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ListExecutionsResponse(_message.Message):
    __slots__ = ("executions", "total_count", "has_more")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[ExecutionStatus]
    total_count: int
    has_more: bool
    def __init__(self, executions: _Optional[_Iterable[_Union[ExecutionStatus, _Mapping]]] = ..., total_count: _Optional[int] = ..., has_more: _Optional[bool] = ...) -> None: ...

class ResumeExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "skip_completed_steps")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    SKIP_COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    skip_completed_steps: bool
    def __init__(self, execution_id: _Optional[str] = ..., skip_completed_steps: _Optional[bool] = ...) -> None: ...

class ExecuteRequest(_message.Message):
    __slots__ = ("workflow_module", "inputs", "options")
    WORKFLOW_MODULE_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    workflow_module: str
    inputs: _struct_pb2.Struct
    options: ExecutionOptions
    def __init__(self, workflow_module: _Optional[str] = ..., inputs: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., options: _Optional[_Union[ExecutionOptions, _Mapping]] = ...) -> None: ...

class ExecutionOptions(_message.Message):
    __slots__ = ("execution_id", "correlation_id", "tags", "timeout_ms")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    correlation_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    timeout_ms: int
    def __init__(self, execution_id: _Optional[str] = ..., correlation_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class ExecutionHandle(_message.Message):
    __slots__ = ("execution_id", "status", "started_at")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    status: str
    started_at: _timestamp_pb2.Timestamp
    def __init__(self, execution_id: _Optional[str] = ..., status: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Blueprint(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BlueprintValidation(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RegisterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RegisterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnregisterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PollRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Task(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Ack(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
