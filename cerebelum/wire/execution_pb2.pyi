import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StartExecutionRequest(_message.Message):
    __slots__ = ("workflow_name", "inputs_json", "execution_id", "tags", "by", "correlation_id", "inputs_text", "lock")
    class InputsTextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_JSON_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    CORRELATION_ID_FIELD_NUMBER: _ClassVar[int]
    INPUTS_TEXT_FIELD_NUMBER: _ClassVar[int]
    LOCK_FIELD_NUMBER: _ClassVar[int]
    workflow_name: str
    inputs_json: str
    execution_id: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    by: str
    correlation_id: str
    inputs_text: _containers.ScalarMap[str, str]
    lock: str
    def __init__(self, workflow_name: _Optional[str] = ..., inputs_json: _Optional[str] = ..., execution_id: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., by: _Optional[str] = ..., correlation_id: _Optional[str] = ..., inputs_text: _Optional[_Mapping[str, str]] = ..., lock: _Optional[str] = ...) -> None: ...

class ExecutionHandle(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class ResumeExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "skip_completed_steps", "from_step", "accept_changes", "recorded", "by")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    SKIP_COMPLETED_STEPS_FIELD_NUMBER: _ClassVar[int]
    FROM_STEP_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_CHANGES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    skip_completed_steps: bool
    from_step: str
    accept_changes: bool
    recorded: bool
    by: str
    def __init__(self, execution_id: _Optional[str] = ..., skip_completed_steps: _Optional[bool] = ..., from_step: _Optional[str] = ..., accept_changes: _Optional[bool] = ..., recorded: _Optional[bool] = ..., by: _Optional[str] = ...) -> None: ...

class ResumePlan(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: str
    def __init__(self, json: _Optional[str] = ...) -> None: ...

class ForkRequest(_message.Message):
    __slots__ = ("execution_id", "from_step", "inputs_json", "new_execution_id", "accept_changes", "recorded", "by", "inputs_text")
    class InputsTextEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_STEP_FIELD_NUMBER: _ClassVar[int]
    INPUTS_JSON_FIELD_NUMBER: _ClassVar[int]
    NEW_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_CHANGES_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    INPUTS_TEXT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    from_step: str
    inputs_json: str
    new_execution_id: str
    accept_changes: bool
    recorded: bool
    by: str
    inputs_text: _containers.ScalarMap[str, str]
    def __init__(self, execution_id: _Optional[str] = ..., from_step: _Optional[str] = ..., inputs_json: _Optional[str] = ..., new_execution_id: _Optional[str] = ..., accept_changes: _Optional[bool] = ..., recorded: _Optional[bool] = ..., by: _Optional[str] = ..., inputs_text: _Optional[_Mapping[str, str]] = ...) -> None: ...

class ApproveRequest(_message.Message):
    __slots__ = ("execution_id", "step", "comment", "response_json", "by")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_JSON_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    step: str
    comment: str
    response_json: str
    by: str
    def __init__(self, execution_id: _Optional[str] = ..., step: _Optional[str] = ..., comment: _Optional[str] = ..., response_json: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class RejectRequest(_message.Message):
    __slots__ = ("execution_id", "step", "comment", "by")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    step: str
    comment: str
    by: str
    def __init__(self, execution_id: _Optional[str] = ..., step: _Optional[str] = ..., comment: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class CancelRequest(_message.Message):
    __slots__ = ("execution_id", "why", "by")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    why: str
    by: str
    def __init__(self, execution_id: _Optional[str] = ..., why: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("execution_id", "why", "by")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    why: str
    by: str
    def __init__(self, execution_id: _Optional[str] = ..., why: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class WatchExecutionRequest(_message.Message):
    __slots__ = ("execution_id", "after_version")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    after_version: int
    def __init__(self, execution_id: _Optional[str] = ..., after_version: _Optional[int] = ...) -> None: ...

class GetHistoryRequest(_message.Message):
    __slots__ = ("execution_id", "after_version", "size")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    after_version: int
    size: int
    def __init__(self, execution_id: _Optional[str] = ..., after_version: _Optional[int] = ..., size: _Optional[int] = ...) -> None: ...

class ExecutionEvent(_message.Message):
    __slots__ = ("execution_id", "version", "type", "at", "json", "digest")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    version: int
    type: str
    at: _timestamp_pb2.Timestamp
    json: str
    digest: str
    def __init__(self, execution_id: _Optional[str] = ..., version: _Optional[int] = ..., type: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., json: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class GetLogsRequest(_message.Message):
    __slots__ = ("execution_id", "step", "attempt", "after_position", "follow", "limit")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    AFTER_POSITION_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    step: str
    attempt: int
    after_position: int
    follow: bool
    limit: int
    def __init__(self, execution_id: _Optional[str] = ..., step: _Optional[str] = ..., attempt: _Optional[int] = ..., after_position: _Optional[int] = ..., follow: _Optional[bool] = ..., limit: _Optional[int] = ...) -> None: ...

class LogPage(_message.Message):
    __slots__ = ("chunks", "position")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedCompositeFieldContainer[LogChunk]
    position: int
    def __init__(self, chunks: _Optional[_Iterable[_Union[LogChunk, _Mapping]]] = ..., position: _Optional[int] = ...) -> None: ...

class LogChunk(_message.Message):
    __slots__ = ("step", "attempt", "offset", "stream", "at", "data")
    STEP_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    step: str
    attempt: int
    offset: int
    stream: str
    at: _timestamp_pb2.Timestamp
    data: bytes
    def __init__(self, step: _Optional[str] = ..., attempt: _Optional[int] = ..., offset: _Optional[int] = ..., stream: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class FindExecutionsRequest(_message.Message):
    __slots__ = ("execution_id", "id_prefix", "status", "workflow_name", "tags", "since", "after_started_at", "after_execution_id", "limit", "offset", "count_to", "stored", "dead_runners")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_PREFIX_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    AFTER_STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    AFTER_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    COUNT_TO_FIELD_NUMBER: _ClassVar[int]
    STORED_FIELD_NUMBER: _ClassVar[int]
    DEAD_RUNNERS_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    id_prefix: str
    status: _containers.RepeatedScalarFieldContainer[str]
    workflow_name: str
    tags: _containers.RepeatedScalarFieldContainer[str]
    since: _timestamp_pb2.Timestamp
    after_started_at: _timestamp_pb2.Timestamp
    after_execution_id: str
    limit: int
    offset: int
    count_to: int
    stored: bool
    dead_runners: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, execution_id: _Optional[str] = ..., id_prefix: _Optional[str] = ..., status: _Optional[_Iterable[str]] = ..., workflow_name: _Optional[str] = ..., tags: _Optional[_Iterable[str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after_started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after_execution_id: _Optional[str] = ..., limit: _Optional[int] = ..., offset: _Optional[int] = ..., count_to: _Optional[int] = ..., stored: _Optional[bool] = ..., dead_runners: _Optional[_Iterable[str]] = ...) -> None: ...

class ExecutionPage(_message.Message):
    __slots__ = ("executions", "has_more", "total")
    EXECUTIONS_FIELD_NUMBER: _ClassVar[int]
    HAS_MORE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    executions: _containers.RepeatedCompositeFieldContainer[Execution]
    has_more: bool
    total: int
    def __init__(self, executions: _Optional[_Iterable[_Union[Execution, _Mapping]]] = ..., has_more: _Optional[bool] = ..., total: _Optional[int] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("execution_id", "workflow_name", "status", "started_at", "completed_at", "tags", "row_json")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_NAME_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    COMPLETED_AT_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    ROW_JSON_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    workflow_name: str
    status: str
    started_at: _timestamp_pb2.Timestamp
    completed_at: _timestamp_pb2.Timestamp
    tags: _containers.RepeatedScalarFieldContainer[str]
    row_json: bytes
    def __init__(self, execution_id: _Optional[str] = ..., workflow_name: _Optional[str] = ..., status: _Optional[str] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., completed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., tags: _Optional[_Iterable[str]] = ..., row_json: _Optional[bytes] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("execution_id",)
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    def __init__(self, execution_id: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("kind", "execution_id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    kind: str
    execution_id: str
    def __init__(self, kind: _Optional[str] = ..., execution_id: _Optional[str] = ...) -> None: ...

class GetTombstonesRequest(_message.Message):
    __slots__ = ("execution_id", "after_execution_id", "limit")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    after_execution_id: str
    limit: int
    def __init__(self, execution_id: _Optional[str] = ..., after_execution_id: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("execution_id", "json")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    json: str
    def __init__(self, execution_id: _Optional[str] = ..., json: _Optional[str] = ...) -> None: ...

class GetPoolRequest(_message.Message):
    __slots__ = ("execution_id", "queue")
    EXECUTION_ID_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    execution_id: str
    queue: str
    def __init__(self, execution_id: _Optional[str] = ..., queue: _Optional[str] = ...) -> None: ...

class Pool(_message.Message):
    __slots__ = ("depths_json", "workers_json", "standing_json")
    DEPTHS_JSON_FIELD_NUMBER: _ClassVar[int]
    WORKERS_JSON_FIELD_NUMBER: _ClassVar[int]
    STANDING_JSON_FIELD_NUMBER: _ClassVar[int]
    depths_json: str
    workers_json: str
    standing_json: str
    def __init__(self, depths_json: _Optional[str] = ..., workers_json: _Optional[str] = ..., standing_json: _Optional[str] = ...) -> None: ...

class GetStoreRequest(_message.Message):
    __slots__ = ("totals", "workflows", "claims")
    TOTALS_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FIELD_NUMBER: _ClassVar[int]
    totals: bool
    workflows: bool
    claims: bool
    def __init__(self, totals: _Optional[bool] = ..., workflows: _Optional[bool] = ..., claims: _Optional[bool] = ...) -> None: ...

class Store(_message.Message):
    __slots__ = ("version", "read_only", "description_json", "totals_json", "workflows_json", "startable", "claims_json")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_JSON_FIELD_NUMBER: _ClassVar[int]
    TOTALS_JSON_FIELD_NUMBER: _ClassVar[int]
    WORKFLOWS_JSON_FIELD_NUMBER: _ClassVar[int]
    STARTABLE_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_JSON_FIELD_NUMBER: _ClassVar[int]
    version: str
    read_only: bool
    description_json: str
    totals_json: str
    workflows_json: str
    startable: _containers.RepeatedScalarFieldContainer[str]
    claims_json: str
    def __init__(self, version: _Optional[str] = ..., read_only: _Optional[bool] = ..., description_json: _Optional[str] = ..., totals_json: _Optional[str] = ..., workflows_json: _Optional[str] = ..., startable: _Optional[_Iterable[str]] = ..., claims_json: _Optional[str] = ...) -> None: ...
