"""The generated messages are those of `proto/`, and `proto/` is what programs in the field know."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_tools import protoc
from hypothesis import given
from hypothesis import strategies as st

from cerebelum.service.rpc.structs import stamp
from cerebelum.wire import worker_pb2

ROOT = Path(__file__).resolve().parent.parent.parent
PROTO = ROOT / "proto"


def test_the_messages_are_made_from_the_definitions(tmp_path: Path) -> None:
    files = sorted(str(path) for path in PROTO.rglob("*.proto"))
    known = Path(protoc.__file__).with_name("_proto")
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    assert protoc.main(["protoc", f"-I{PROTO}", f"-I{known}", *outputs, *files]) == 0
    made = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*.py*")}
    assert len(made) == 2 * len(files)
    kept = {path.relative_to(ROOT): path.read_text() for path in (ROOT / "cerebelum" / "wire").glob("*_pb2.py*")}
    assert kept == made, "make proto"


FIELDS = {
    "GetExecutionStatusRequest": "1 execution_id string",
    "ExecutionStatus": "1 execution_id string, 2 workflow_name string, 3 status ExecutionState, 4 started_at Timestamp,"
    " 5 completed_at Timestamp, 6 current_step_index int32, 7 total_steps int32, 8 current_step_name string,"
    " 9 completed_steps StepStatus*, 10 inputs Struct, 11 step_outputs StepOutputsEntry*, 12 error ErrorInfo,"
    " 13 sleep_info SleepInfo, 14 approval_info ApprovalInfo",
    "StepStatus": "1 step_name string, 2 step_index int32, 3 status string, 4 started_at Timestamp,"
    " 5 completed_at Timestamp, 6 duration_seconds int32, 7 output Struct, 8 error ErrorInfo",
    "SleepInfo": "1 duration_ms int64, 2 sleep_started_at Timestamp, 3 remaining_ms int64, 4 data Struct",
    "ApprovalInfo": "1 approval_type string, 2 data Struct, 3 timeout_ms int64, 4 requested_at Timestamp,"
    " 5 remaining_timeout_ms int64",
    "ErrorInfo": "1 kind string, 2 message string, 3 stacktrace string",
    "ListExecutionsRequest": "1 workflow_name string?, 2 status ExecutionState?, 3 limit int32, 4 offset int32",
    "ListExecutionsResponse": "1 executions ExecutionStatus*, 2 total_count int32, 3 has_more bool",
    "ResumeExecutionRequest": "1 execution_id string, 2 skip_completed_steps bool",
    "ExecuteRequest": "1 workflow_module string, 2 inputs Struct, 3 options ExecutionOptions",
    "ExecutionOptions": "1 execution_id string, 2 correlation_id string, 3 tags string*, 4 timeout_ms int32",
    "ExecutionHandle": "1 execution_id string, 2 status string, 3 started_at Timestamp",
}
TYPES = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_INT32: "int32",
    FieldDescriptor.TYPE_INT64: "int64",
}
TYPES |= {FieldDescriptor.TYPE_BOOL: "bool"}


@pytest.mark.parametrize("message", FIELDS)
def test_numbers_and_types_are_those_of_the_field(message: str) -> None:
    found = []
    for field in worker_pb2.DESCRIPTOR.message_types_by_name[message].fields:
        kind = field.message_type or field.enum_type
        name = kind.name if kind is not None else TYPES[field.type]
        mark = "*" if field.is_repeated else "?" if field.containing_oneof is not None else ""
        found.append(f"{field.number} {field.name} {name}{mark}")
    assert ", ".join(found) == FIELDS[message]


def test_the_names_are_those_of_the_field() -> None:
    service = worker_pb2.DESCRIPTOR.services_by_name["WorkerService"]
    assert service.full_name == "cerebelum.worker.WorkerService"
    assert {m.name: (m.input_type.name, m.output_type.name) for m in service.methods} == {
        "GetExecutionStatus": ("GetExecutionStatusRequest", "ExecutionStatus"),
        "ListExecutions": ("ListExecutionsRequest", "ListExecutionsResponse"),
        "ResumeExecution": ("ResumeExecutionRequest", "ExecutionHandle"),
        "ExecuteWorkflow": ("ExecuteRequest", "ExecutionHandle"),
        "SubmitBlueprint": ("Blueprint", "BlueprintValidation"),
        "Register": ("RegisterRequest", "RegisterResponse"),
        "Heartbeat": ("HeartbeatRequest", "HeartbeatResponse"),
        "Unregister": ("UnregisterRequest", "Empty"),
        "PollForTask": ("PollRequest", "Task"),
        "SubmitResult": ("TaskResult", "Ack"),
    }
    states = worker_pb2.DESCRIPTOR.enum_types_by_name["ExecutionState"].values
    assert [(state.number, state.name) for state in states] == [
        (0, "EXECUTION_STATE_UNSPECIFIED"),
        (1, "EXECUTION_RUNNING"),
        (2, "EXECUTION_COMPLETED"),
        (3, "EXECUTION_FAILED"),
        (4, "EXECUTION_SLEEPING"),
        (5, "EXECUTION_WAITING_FOR_APPROVAL"),
        (6, "EXECUTION_PAUSED"),
    ]


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_moment_is_what_the_library_makes_of_it(moment: datetime) -> None:
    known = Timestamp()
    known.FromDatetime(moment)
    assert stamp(moment) == known
