"""Everything that `--json` prints, of every verb and in every situation, is what docs/output.schema.json says it is.

A scenario names what it shows: pairs of a verb and a definition, and further definitions that its outputs use. So no
definition, and no verb, is left without an output of the real program. All outputs are also held to the schema in its
strict form, which takes no key that it does not name.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import click
import jsonschema  # type: ignore[import-untyped]
import pytest

from cerebelum.cli.group import VERBS, build
from cerebelum.core.events import AnyEvent
from cerebelum.render.contract import PRINTED
from docs.generate import SCHEMA, schema_file
from tests.cli.conftest import Done
from tests.lifecycle.world import World, crash, finish, wait_until
from tests.servers import keeper
from tests.servers.fixtures import drop
from tests.servers.postgres import with_schema
from tests.stores import only_sqlite

# What is tested here is the same on any store.
pytestmark = [only_sqlite, pytest.mark.usefixtures("store_url")]

COMMITTED: dict[str, Any] = json.loads(SCHEMA.read_text("utf-8"))
DEFINITIONS: dict[str, Any] = COMMITTED["$defs"]

# --- the schema, as it is and strict ---------------------------------------------------------------------------------


def _is_utc(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).utcoffset() == timedelta(0)


FORMATS = jsonschema.FormatChecker(formats=())
FORMATS.checks("date-time", raises=ValueError)(_is_utc)


def strict(part: Any) -> Any:
    """The schema, with no object that names its keys taking others."""
    if isinstance(part, list):
        return [strict(item) for item in part]
    if not isinstance(part, dict):
        return part
    made = {key: strict(value) for key, value in part.items()}
    if "properties" in made and made.get("additionalProperties") is True:
        made["additionalProperties"] = False
    return made


USED: set[str] = set()
_resolve = jsonschema.Draft202012Validator.VALIDATORS["$ref"]


def _noting(validator: Any, ref: str, instance: Any, schema: Any) -> Iterator[Any]:
    errors = list(_resolve(validator, ref, instance, schema))
    if not errors:
        USED.add(ref.rpartition("/")[2])
    yield from errors


Validator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"$ref": _noting})


def validator(schema: Any, name: str) -> Any:
    return Validator({"$ref": f"#/$defs/{name}", "$defs": schema["$defs"]}, format_checker=FORMATS)


LOOSE = {name: validator(COMMITTED, name) for name in DEFINITIONS}
STRICT = {name: validator(strict(COMMITTED), name) for name in DEFINITIONS}


def complaints(validators: dict[str, Any], name: str, value: Any) -> list[str]:
    return [
        f"{name}{error.json_path[1:]}: {error.message}"
        for found in validators[name].iter_errors(value)
        for error in (found, *found.context)
    ]


class Outputs:
    """The program, whose every output is checked; `used` collects the definitions that were needed for it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.used: set[str] = set()
        self.values: list[tuple[str, Any]] = []

    def check(self, name: str, value: Any) -> Any:
        USED.clear()
        assert complaints(STRICT, name, value) == []
        assert complaints(LOOSE, name, value) == []
        self.used |= USED
        self.values.append((name, value))
        return value

    def _printed(self, name: str, done: Done, arguments: tuple[str, ...]) -> list[Any]:
        verb = " ".join(arguments[: 2 if " ".join(arguments[:2]) in PRINTED else 1])
        said = PRINTED[verb]
        assert name in said, f"{verb} is not said to print {name}"
        self.used.add(f"{verb} {name}")
        one = name not in ("event", "logLine", "head")
        return [self.check(name, value) for value in ([done.json()] if one else done.lines())]

    def one(self, name: str, *arguments: str, code: int = 0) -> Any:
        """The object that this command prints, which is a `name` in the schema."""
        done = self.world(*arguments, "--json")
        assert done.code == code, done
        [value] = self._printed(name, done, arguments)
        if code in (2, 3, 5):
            self.check("error", json.loads(done.err))
        return value

    def lines(self, name: str, *arguments: str, code: int = 0) -> list[Any]:
        """The same for a command that prints lines."""
        done = self.world(*arguments, "--json")
        assert done.code == code, done
        return self._printed(name, done, arguments)

    def error(self, *arguments: str, code: int) -> Any:
        """The error that this command ends with, and nothing else."""
        done = self.world(*arguments, "--json")
        assert (done.code, done.out) == (code, ""), done
        return self.check("error", json.loads(done.err))["error"]

    def views(self, name: str = "x") -> Any:
        """How an execution stands, in every way there is to ask; returns what `status` says."""
        self.one("list", "list")
        self.one("list", "active")
        history = self.lines("event", "history", name)
        assert all("digest" in line for line in history)
        status = self.one("status", "status", name)
        for step in status["steps"]:
            alone = self.one("step", "status", name, step["id"])
            assert alone == {"execution_id": name, **step}
        return status


# --- the scenarios ---------------------------------------------------------------------------------------------------

Scenario = Callable[[Outputs], None]
SCENARIOS: dict[str, tuple[Scenario, frozenset[str]]] = {}


def shows(*what: str) -> Callable[[Scenario], Scenario]:
    def add(scenario: Scenario) -> Scenario:
        SCENARIOS[scenario.__name__] = (scenario, frozenset(what))
        return scenario

    return add


FULL = """
    name: full
    description: Has one of everything.
    inputs:
      who: {type: string, default: you, description: Whom to greet., pattern: '[a-z]+', choices: [you, me]}
      many: {type: integer, required: true, minimum: 1, maximum: 9}
    secrets: [TOKEN]
    env: {PLACE: here, LEVEL: 3}
    max_parallel: 2
    timeout: 5m
    output: {said: '${{ steps.hello.output }}'}
    steps:
      - id: hello
        description: Says hello.
        run: echo "hello $INPUT_WHO"; echo "$TOKEN" >&2
        output: text
        working_dir: .
        timeout: 1m
        retry: {attempts: 2, delay: 1s, backoff: 2, max_delay: 1m, jitter: 0.5, on: [7]}
      - parallel:
          - {id: left, run: 'echo ''{"a": [1, null, 2.5]}''', output: json, on_interrupt: verify, verify: 'true'}
          - {id: right, run: exit 3, continue_on_error: true}
      - {id: never, run: 'true', when: '${{ inputs.many > 5 }}'}
      - {id: after, run: 'true', needs: [never]}
    on_success: [{id: cheer, run: echo done}]
    on_failure: [{id: tidy, run: 'true', undoes: [hello]}]
    on_cancel: [{id: stop, run: 'true'}]
    finally: [{id: always, run: 'true'}]
    """


@shows(
    *("run event", "run preview", "status status", "status step", "list list", "active list", "history event"),
    *("watch event", "logs logLine", "ExecutionStarted", "StepStarted", "StepCompleted", "StepFailed", "StepSkipped"),
    *("ExecutionCompleted", "RecordedWorkflow", "RecordedInput", "RecordedStep", "RecordedRetry", "RecordedSource"),
    *("Environment", "StepError", "surroundings", "failure", "sourceFile", "stepOfStatus", "row", "previewedStep"),
)
def a_workflow_with_everything_completes(outputs: Outputs) -> None:
    outputs.world.flow(FULL)
    options = ("flow.yaml", "--input", "many=2")
    outputs.world.environ["TOKEN"] = "very-secret-token"
    outputs.one("preview", "run", *options, "--dry-run")
    lines = outputs.lines("event", "run", *options, "--id", "x", "--tag", "a", "--tag", "b")
    assert not any("digest" in line for line in lines)
    status = outputs.views()
    assert status["status"] == "completed"
    assert {step["status"] for step in status["steps"]} == {"completed", "failed", "skipped", "pending"}
    assert {step["skipped"] for step in status["steps"]} == {None, "condition", "dependency"}
    assert {step["group"] for step in status["steps"]} == {"steps", "on_failure", "on_success", "on_cancel", "finally"}
    assert outputs.lines("event", "watch", "x")[1:] == lines[1:]
    assert "***" in "".join(line["text"] for line in outputs.lines("logLine", "logs", "x", "hello"))
    outputs.one("status", "status", "x", "--at", "3")
    outputs.lines("event", "run", *options, "--id", "x", "--or-resume")


DIVERTED = """
from cerebelum import step, workflow

@step
def fetch(): raise ConnectionError("no route")

@step
def mirror(): return "from the mirror"

@workflow
def deploy(wf):
    wf.timeline(fetch)
    wf.diverge(fetch, {OSError: mirror})
"""


@shows("run event", "status status", "history event", "RecordedDiversion", "StepFailed")
def a_failure_of_a_workflow_in_python_is_diverted(outputs: Outputs) -> None:
    outputs.world.write("flow.py", DIVERTED)
    outputs.lines("event", "run", "flow.py", "--id", "x")
    status = outputs.views()
    assert [(step["status"], step["diverted"]) for step in status["steps"]] == [
        ("failed", "mirror"),
        ("completed", None),
    ]


FLAKY = """
    name: flaky
    steps:
      - {id: hello, run: echo one, output: text}
      - {id: check, run: test -e mended}
    on_failure: [{id: tidy, run: echo tidy}]
    """


@shows(
    *("resume event", "resume plan", "fork event", "fork plan", "plannedStep", "leftElsewhere", "error", "errorFacts"),
    *("store verify verification", "ExecutionFailed", "ExecutionResumed", "RecordedWorkflow"),
)
def a_failure_is_planned_changed_resumed_and_forked(outputs: Outputs) -> None:
    world = outputs.world
    world.flow(FLAKY)
    outputs.lines("event", "run", "flow.yaml", "--id", "x", code=1)
    assert outputs.views()["failed_steps"] == ["check"]
    outputs.one("plan", "resume", "x", "--plan")
    world.environ["CEREBELUM_HOST"] = "another"
    assert outputs.one("plan", "resume", "x", "--plan")["elsewhere"][0]["steps"] == ["hello"]
    world.flow(FLAKY.replace("echo one", "echo two"))
    assert outputs.one("plan", "resume", "x", code=5)["blocked"] == ["hello"]
    assert outputs.one("plan", "fork", "x", "--from", "check", "--id", "y", code=5)["blocked"] == ["hello"]
    assert outputs.one("plan", "resume", "x", "--plan", "--accept-changes")["accepted"] == ["hello"]
    assert outputs.one("plan", "resume", "x", "--plan", "--from", "hello")["rerun"] == ["hello", "check"]
    world.write("mended", "")
    outputs.lines("event", "resume", "x", "--accept-changes")
    outputs.lines("event", "fork", "x", "--from", "check", "--id", "y")
    assert outputs.views("y")["parent"] == "x"
    page = outputs.one("list", "list", "--limit", "1")
    assert (page["has_more"], page["total"]) == (True, 2)
    outputs.one("verification", "store", "verify")


@shows("store verify verification", "damage")
def a_log_is_not_what_it_was(outputs: Outputs) -> None:
    assert outputs.world.run("steps: [{id: a, run: echo a}]").code == 0
    kept = outputs.one("list", "list")
    kept["executions"][0]["digest"] = "f" * 64
    outputs.world.write("heads.json", json.dumps(kept))
    assert outputs.one("verification", "store", "verify", "--heads", "heads.json", code=1)["flaws"]


@shows(
    *("store info storeInfo", "store export exported", "store import transfer", "store copy transfer", "refused"),
    *("store backup backup", "store heads head", "store prune pruning"),
)
def executions_are_moved_and_pruned(outputs: Outputs) -> None:
    outputs.one("storeInfo", "store", "info")
    for name in "xy":
        outputs.world.run("steps: [{id: a, run: echo a}]", name=name)
    outputs.one("storeInfo", "store", "info")
    outputs.one("exported", "store", "export", "--all", "-o", "all.jsonl")
    outputs.one("transfer", "store", "import", "all.jsonl", "--store", "other.db")
    outputs.one("transfer", "store", "copy", outputs.world.url, "third.db")
    outputs.one("backup", "store", "backup", "kept.db")
    rule = ("store", "prune", "--older-than", "0", "--keep", "1")
    assert outputs.one("pruning", *rule, "--dry-run")["dry_run"]
    assert len(outputs.one("pruning", *rule, "--yes")["executions"]) == 1
    assert [line["pruned_at"] is None for line in outputs.lines("head", "store", "heads")] == [True, False]
    assert outputs.one("transfer", "store", "import", "all.jsonl", code=1)["refused"]
    assert outputs.error("store", "backup", "kept.db", code=2)


@shows("status status", "active list", "StepFailed")
def a_retry_is_waited_for(outputs: Outputs) -> None:
    outputs.world.flow("steps: [{id: a, run: exit 1, retry: {attempts: 2, delay: 1h}}]")
    lines = outputs.lines("event", "run", "flow.yaml", "--id", "x", "--park", code=75)
    assert lines[-1]["retry_at"]
    status = outputs.views()
    assert status["steps"][0]["status"] == "retrying"
    assert status["due_at"] == status["steps"][0]["retry_at"]


@shows("wait", "SleepStarted", "SleepCompleted")
def a_sleep_is_over_and_another_is_parked(outputs: Outputs) -> None:
    moment = (datetime.now(UTC) + timedelta(hours=1)).astimezone(timezone(timedelta(hours=5)))
    outputs.world.flow(
        f"steps: [{{id: short, sleep: 1ms}}, {{id: long, sleep: {{until: '{moment.isoformat()}'}}}}, "
        "{id: b, run: 'true'}]"
    )
    outputs.lines("event", "run", "flow.yaml", "--id", "x", "--park-after", "10m", code=75)
    status = outputs.views()
    assert status["status"] == "sleeping"
    assert [wait["result"] for step in status["steps"] for wait in step["waits"]] == ["slept", None]


ASK = """
    steps:
      - {id: go, approval: {message: 'Ship it?', data: {n: 1}, timeout: 1h, on_timeout: reject}}
      - {id: b, run: echo b}
    """


@shows("approve row", "wait", "ApprovalRequested", "ApprovalGranted")
def a_question_is_answered_with_yes(outputs: Outputs) -> None:
    outputs.world.flow(ASK)
    outputs.lines("event", "run", "flow.yaml", "--id", "x", "--park", code=75)
    assert outputs.views()["status"] == "waiting_for_approval"
    response = ("--response", "window=night")
    outputs.one("row", "approve", "x", "--by", "ann", "--comment", "fine", *response)
    assert outputs.views()["steps"][0]["status"] == "answered"
    outputs.lines("event", "resume", "x")
    assert outputs.views()["steps"][0]["waits"][0]["response"] == {"window": "night"}


@shows("reject row", "ApprovalRejected", "ExecutionFailed")
def a_question_is_answered_with_no(outputs: Outputs) -> None:
    outputs.world.flow(ASK)
    outputs.lines("event", "run", "flow.yaml", "--id", "x", "--park", code=75)
    outputs.one("row", "reject", "x", "--comment", "not today")
    outputs.world("resume", "x")
    outputs.views()


@shows("ApprovalTimedOut")
def nobody_answers_in_time(outputs: Outputs) -> None:
    outputs.world.flow(ASK.replace("1h", "1ms").replace("reject", "approve"))
    outputs.lines("event", "run", "flow.yaml", "--id", "x")
    assert outputs.views()["steps"][0]["waits"][0]["result"] == "timed_out"


@shows("pause row", "cancel row", "PauseRequested", "ExecutionPaused", "CancelRequested", "ExecutionCancelled")
def what_waits_is_paused_and_cancelled(outputs: Outputs) -> None:
    outputs.world.flow(ASK)
    outputs.lines("event", "run", "flow.yaml", "--id", "x", "--park", code=75)
    outputs.one("row", "pause", "x", "--by", "ann", "--why", "lunch")
    assert outputs.views()["status"] == "paused"
    outputs.one("row", "cancel", "x", "--by", "ann", "--why", "no more")
    assert outputs.views()["status"] == "cancelled"
    assert outputs.error("pause", "x", code=2)["exit_code"] == 2


WORK = "steps: [{id: a, run: echo a}, {id: work, run: 'echo up >> up; sleep 600', on_interrupt: rerun}]"


@shows("status status", "owner", "StepInterrupted", "ExecutionPaused")
def what_runs_has_an_owner_and_is_paused(outputs: Outputs) -> None:
    runner = outputs.world.begin(WORK)
    outputs.world.wait_for_line("up")
    assert outputs.views()["owner"]["pid"] == runner.pid
    assert outputs.error("resume", "x", code=4)
    outputs.one("row", "pause", "x")
    assert finish(runner).code == 75
    assert outputs.views()["steps"][1]["interrupted"] == "operator"


@shows(
    *("locks locks", "lock", "lockClaim", "owner", "status status", "limit", "run preview", "previewedGroup"),
    *("list list", "run event", "Concurrency", "LockAwaited", "LockAcquired"),
)
def two_executions_of_a_group_wait_for_each_other(outputs: Outputs) -> None:
    world = outputs.world
    assert outputs.one("locks", "locks") == {"locks": []}
    runner = world.begin("concurrency: {group: production, policy: fail}\n" + WORK)
    world.wait_for_line("up")
    preview = outputs.one("preview", "run", "flow.yaml", "--dry-run")
    assert preview["concurrency"] == {"group": "production", "policy": "fail"}
    assert outputs.error("run", "flow.yaml", "--id", "y", code=4)
    world.flow("concurrency: production\nsteps: [{id: a, run: echo a}]", "nap.yaml")
    outputs.lines("event", "run", "nap.yaml", "--id", "z", "--park", code=75)
    [lock] = outputs.one("locks", "locks")["locks"]
    assert [claim["status"] for claim in lock["line"]] == ["running", "waiting_for_lock"]
    assert outputs.one("status", "status", "z")["concurrency"]["holder"] == "x"
    assert outputs.views()["concurrency"]["ahead"] == 0
    crash(runner)


@shows("status status", "watch event", "StepInterrupted", "ExecutionResumed")
def the_process_of_an_execution_was_killed(outputs: Outputs) -> None:
    runner = outputs.world.begin(WORK.replace("sleep 600", "test -e mended || sleep 600"))
    outputs.world.wait_for_line("up")
    crash(runner)
    assert outputs.views()["reason"] == "interrupted"
    outputs.lines("event", "watch", "x", code=75)
    outputs.world.write("mended", "")
    outputs.lines("event", "resume", "x")


@shows("run detached", "resume detached", "fork detached")
def executions_go_on_in_the_background(outputs: Outputs) -> None:
    world = outputs.world
    world.flow(FLAKY)
    assert outputs.one("detached", "run", "flow.yaml", "--id", "x", "--detach") == {"execution_id": "x"}
    wait_until(lambda: world.status("x") == "failed")
    world.write("mended", "")
    outputs.one("detached", "resume", "x", "--detach")
    wait_until(lambda: world.status("x") == "completed")
    outputs.one("detached", "fork", "x", "--from", "check", "--id", "y", "--detach")
    wait_until(lambda: world.status("y") == "completed")


@shows("logs logLine")
def steps_print_what_is_no_utf_8(outputs: Outputs) -> None:
    outputs.world.flow(r"""steps: [{id: a, run: "printf 'ok\\n'; printf 'no \\377\\n' >&2"}]""")
    outputs.lines("event", "run", "flow.yaml", "--id", "x")
    lines = outputs.lines("logLine", "logs", "x")
    assert {key for line in lines for key in ("text", "base64") if key in line} >= {"base64"}
    outputs.lines("logLine", "logs", "x", "--tail", "1")
    outputs.lines("logLine", "logs", "x", "--failed")


@shows("validate validation", "checkedFile", "finding", "error", "errorFacts", "list list")
def there_are_mistakes(outputs: Outputs) -> None:
    world = outputs.world
    world.flow("steps: [{id: a, run: 'true'}]")
    world.flow("steps: [{id: a, runn: echo}]", "bad.yaml")
    assert outputs.one("list", "list")["executions"] == []
    files = ("flow.yaml", "bad.yaml", "missing.yaml")
    assert [file["ok"] for file in _validated(outputs, *files)["files"]] == [True, False, False]
    assert outputs.error("run", "bad.yaml", code=2)["problems"][0]["hint"]
    for verb in ("status", "history", "logs", "watch", "pause", "cancel", "approve", "reject"):
        assert outputs.error(verb, "nobody", code=3)["exit_code"] == 3
    assert outputs.error("run", "flow.yaml", "--input", "nameless", code=2)["hint"]
    assert outputs.error("list", "--bogus", code=2)["message"]
    assert outputs.error("list", "--store", "flow.yaml", code=74)["where"]


def _validated(outputs: Outputs, *files: str) -> Any:
    done = outputs.world("validate", *files, "--json")
    assert (done.code, done.err) == (2, "")
    outputs.used.add("validate validation")
    return outputs.check("validation", done.json())


@shows("--version version", "plugins plugins", "doctor diagnosis", "foundPlugin", "addedExecutor", "examined")
def the_program_tells_about_itself(outputs: Outputs) -> None:
    outputs.one("version", "--version")
    outputs.one("plugins", "plugins")
    outputs.one("diagnosis", "doctor")
    outputs.world.write("bad.py", "import nothing_of_this_name\n")
    found = outputs.one("plugins", "plugins", "--plugin", "bad.py")["plugins"]
    assert any(plugin["problem"] for plugin in found)
    assert not outputs.one("diagnosis", "doctor", "--plugin", "bad.py", code=1)["ok"]


@shows("shell stepInside")
def a_step_is_looked_into(outputs: Outputs) -> None:
    outputs.world.write("one.yaml", "steps: [{id: one, run: 'false'}]\n")
    outputs.world("run", "one.yaml", "--id", "x")
    assert outputs.one("stepInside", "shell", "x", "--print-env", "--json")["step"] == "one"


@shows("supervise event")
def what_nobody_drives_is_taken_up(outputs: Outputs) -> None:
    outputs.world.write("nap.yaml", "steps: [{id: go, approval: {message: Go?}}, {id: end, run: 'true'}]\n")
    outputs.world("run", "nap.yaml", "--id", "x", "--park")
    outputs.world("approve", "x")
    types = [event["type"] for event in outputs.lines("event", "supervise", "--once")]
    assert types[-1] == "ExecutionCompleted"


@shows("schedules schedules", "scheduleOfFile", "tick", "Schedule")
def what_is_scheduled_is_shown(outputs: Outputs) -> None:
    outputs.world.write("nightly.yaml", "schedule: ['@daily', '0 3 * * *']\nsteps: [{id: one, run: 'true'}]\n")
    shown = outputs.one("schedules", "schedules", "nightly.yaml", "--next", "2")["schedules"]
    assert [(each["cron"], len(each["next"])) for each in shown] == [("@daily", 2), ("0 3 * * *", 2)]
    outputs.lines("event", "run", "nightly.yaml", "--id", "x")


@shows("serve serving")
def a_service_says_where_it_listens(outputs: Outputs) -> None:
    process = outputs.world.start("serve", "--no-grpc", "--http", "127.0.0.1:0", "--json")
    assert process.stdout is not None
    said = b""
    while not said.endswith(b"}\n"):
        said += process.stdout.readline()
    process.terminate()
    assert finish(process).code == 0
    told = outputs.check("serving", json.loads(said))
    assert (told["grpc"], told["http"].partition(":")[0]) == (None, "127.0.0.1")
    outputs.used.add("serve serving")


@shows(
    *("submit detached", "worker event", "worker list pool", "worker drain poolWorker"),
    *("inQueue", "Queued", "queueOfPool", "leftBy"),
)
def what_is_submitted_is_taken_by_a_worker(outputs: Outputs) -> None:
    world = outputs.world
    with pool_store(world):
        world.write("one.yaml", "steps: [{id: one, run: 'true'}]\n")
        assert outputs.one("detached", "submit", "one.yaml", "--queue", "build", "--id", "x") == {"execution_id": "x"}
        assert outputs.one("status", "status", "x")["queue"]["name"] == "build"
        outputs.lines("event", "history", "x")
        types = [event["type"] for event in outputs.lines("event", "worker", "--queue", "build", "--once")]
        assert types[-1] == "ExecutionCompleted"
        world("submit", "one.yaml", "--queue", "build", "--id", "y", "--at", "2999-01-01")
        worker = world.start("worker", "--queue", "build,deploy", "--labels", "gpu")
        found = wait_until(lambda: world("worker", "list", "--json").json()["workers"])
        world.write("two.yaml", "secrets: [NOBODY_HAS]\nsteps: [{id: two, run: 'true'}]\n")
        world("submit", "two.yaml", "--queue", "build", "--id", "z")
        wait_until(lambda: world("status", "z", "--json").json()["queue"]["left"])
        [left] = outputs.one("status", "status", "z")["queue"]["left"]
        assert left["why"] == "the secret is not set: NOBODY_HAS"
        shape = outputs.one("pool", "worker", "list")
        assert [queue["queue"] for queue in shape["queues"]] == ["build", "deploy"]
        outputs.one("poolWorker", "worker", "drain", found[0]["id"])
        assert finish(worker).code == 0


@shows("handedOver", "placed", "RunsOn", "StepHandedOver", "StepTaken", "StepReported", "Asked")
def a_step_is_performed_by_a_worker_that_waits_for_a_person(outputs: Outputs) -> None:
    world = outputs.world
    with pool_store(world):
        world.write(
            "ask.py",
            "from cerebelum import approval, step, workflow\n\n"
            "@step(runs_on={'queue': 'gpu', 'labels': ['a100']})\nasync def ask():\n"
            "    return (await approval('go?')).by\n\n"
            "@workflow\ndef asks(wf):\n    wf.timeline(ask)\n",
        )
        work = ("worker", "--queue", "gpu", "--labels", "a100", "--once")
        [would] = outputs.one("preview", "run", "ask.py", "--dry-run")["steps"]
        assert would["runs_on"] == {"queue": "gpu", "labels": ["a100"]}
        assert "on a worker of the queue gpu with the label a100" in world("run", "ask.py", "--dry-run").out
        outputs.lines("event", "run", "ask.py", "--id", "x", "--park", code=75)
        [waiting] = outputs.one("status", "status", "x")["steps"]
        assert (waiting["status"], waiting["handed_over"]["able"]) == ("waiting_for_worker", 0)
        assert world(*work).code == 0
        outputs.lines("event", "resume", "x", "--park", code=75)
        assert world("approve", "x").code == 0
        outputs.lines("event", "resume", "x", "--park", code=75)
        assert world(*work).code == 0
        outputs.lines("event", "resume", "x")
        types = [event["type"] for event in outputs.lines("event", "history", "x")]
        assert types.count("StepReported") == 2


@contextmanager
def pool_store(world: World) -> Iterator[None]:
    """Queues are in a database."""
    place = keeper.ask("postgres")
    schema = f"t_{os.urandom(8).hex()}"
    world.environ["CEREBELUM_STORE"] = with_schema(place.url, schema)
    yield
    drop(place.admin, schema)


# --- what is held ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_printed_is_what_the_schema_says(name: str, world: World) -> None:
    scenario, shown = SCENARIOS[name]
    outputs = Outputs(world)
    scenario(outputs)
    assert shown <= outputs.used


def test_every_definition_and_every_verb_is_shown_by_a_scenario() -> None:
    shown = frozenset[str]().union(*(what for _, what in SCENARIOS.values()))
    pairs = {f"{verb} {name}" for verb, names in PRINTED.items() for name in names}
    assert pairs <= shown
    named = shown | {pair.split()[-1] for pair in pairs}
    assert DEFINITIONS.keys() <= named


def test_every_verb_that_takes_json_has_its_output_in_the_schema() -> None:
    group = build(VERBS, lambda group: None)
    found = {"--version"}
    for name in VERBS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        # A group may be a verb, too.
        parts = {**(command.commands if isinstance(command, click.Group) else {}), "": command}
        found |= {
            f"{name} {part}".strip()
            for part, each in parts.items()
            if any("--json" in param.opts for param in each.params)
        }
    assert found == PRINTED.keys()
    assert {name for names in PRINTED.values() for name in names} <= DEFINITIONS.keys()


def test_every_event_is_one_of_the_schema_by_its_type() -> None:
    types = {DEFINITIONS[ref["$ref"].rpartition("/")[2]]["properties"]["type"]["const"]: ref for ref in _events()}
    assert list(types) == [event.__name__ for event in AnyEvent.__args__]


def _events() -> list[dict[str, str]]:
    events: list[dict[str, str]] = DEFINITIONS["event"]["oneOf"]
    return events


def test_the_committed_schema_is_one_is_up_to_date_and_is_what_the_program_prints(world: World) -> None:
    jsonschema.Draft202012Validator.check_schema(COMMITTED)
    assert SCHEMA.read_text("utf-8") == schema_file(), "run: .venv/bin/python -m docs.generate"
    assert world("schema", "--output").out == SCHEMA.read_text("utf-8")
    assert "steps" in world("schema").json()["properties"]


@pytest.fixture
def printed(world: World) -> list[tuple[str, Any]]:
    """Outputs of a few kinds, with objects inside objects."""
    outputs = Outputs(world)
    a_failure_is_planned_changed_resumed_and_forked(outputs)
    return outputs.values


def test_a_key_that_is_renamed_removed_or_new_is_found(printed: list[tuple[str, Any]]) -> None:
    assert {name for name, _ in printed} >= {"event", "status", "step", "list", "plan", "error", "verification"}
    last = {(name, value.get("type")): value for name, value in printed}
    for (name, _), value in last.items():
        for path in _objects(value, DEFINITIONS[name]):
            broken = copy.deepcopy(value)
            _at(broken, path)["surplus"] = 1
            assert complaints(STRICT, name, broken)
            assert not complaints(LOOSE, name, broken)
            for key in _at(value, path):
                broken = copy.deepcopy(value)
                _at(broken, path)[f"{key}_"] = _at(broken, path).pop(key)
                assert complaints(STRICT, name, broken), (name, path, key)
                if name != "event":
                    assert complaints(LOOSE, name, broken) or key == "problems", (name, path, key)


Path = tuple[str | int, ...]


def _objects(value: Any, schema: Any, path: Path = ()) -> Iterator[Path]:
    """Where the objects are whose keys the schema names."""
    while "$ref" in schema:
        schema = DEFINITIONS[schema["$ref"].rpartition("/")[2]]
    for part in (*schema.get("anyOf", ()), *(schema.get("oneOf", ()) if "properties" not in schema else ())):
        if _valid_as(part).is_valid(value):
            yield from _objects(value, part, path)
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _objects(item, schema.get("items", {}), (*path, number))
    if isinstance(value, dict) and "properties" in schema:
        yield path
        for key, item in value.items():
            yield from _objects(item, schema["properties"][key], (*path, key))


def _valid_as(part: Any) -> Any:
    return Validator({**part, "$defs": DEFINITIONS})


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


@pytest.mark.parametrize("moment", ["2026-11-22T21:11:25+02:00", "2026-11-22T21:11:25", "yesterday", 1.5])
def test_a_time_that_is_not_utc_is_found(moment: Any) -> None:
    line = {"step": "a", "attempt": 1, "stream": "stdout", "at": "2026-11-22T21:11:25.5Z", "offset": 0, "text": ""}
    assert not complaints(LOOSE, "logLine", line)
    assert complaints(LOOSE, "logLine", {**line, "at": moment})


@pytest.mark.parametrize("change", [{"base64": ""}, {"text": None}])
def test_a_piece_of_output_is_either_text_or_bytes(change: dict[str, Any]) -> None:
    line = {"step": "a", "attempt": 1, "stream": "stdout", "at": "2026-11-22T21:11:25Z", "offset": 0, "text": ""}
    assert complaints(LOOSE, "logLine", {**line, **change})
