"""Every address of the API, asked of the real program on both stores."""

from __future__ import annotations

import json
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from cerebelum.core.events import ApprovalGranted, CancelRequested
from cerebelum.service.web import openapi
from cerebelum.service.web.routes import ROUTES
from tests.lifecycle.world import World, wait_until
from tests.service.conftest import ASKING, MENDABLE, WAITING, Service, Services

DOCUMENT: dict[str, Any] = json.loads(openapi.text())


def check(path: str, method: str, code: int, answer: Any) -> None:
    """An answer is what the description of the API says."""
    described = DOCUMENT["paths"][path][method]["responses"][str(code)]["content"]["application/json"]["schema"]
    schema = {**described, "components": DOCUMENT["components"]}
    assert [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(answer)] == []


ONE = "/api/v1/executions/{id}"


@pytest.fixture
def service(world: World, serve: Services) -> Service:
    world.flow(MENDABLE, "flows/mendable.yaml")
    world.flow(ASKING, "flows/asking.yaml")
    return serve("flows")


def failed(service: Service, name: str = "x") -> None:
    """An execution that failed in its second step."""
    begun = service.post("/executions", 201, workflow="mendable", execution_id=name, inputs={"who": "me"}, tags=["a"])
    assert begun == {"execution_id": name}
    wait_until(lambda: service.world.status(name) == "failed")


def test_what_is_started_is_told_in_every_way(service: Service) -> None:
    about = service.get("/service")
    check("/api/v1/service", "get", 200, about)
    assert about["workflows"] == ["asking", "mendable"]
    assert (about["read_only"], about["needs_token"], about["authenticated_as"]) == (False, False, None)
    assert about["store"].partition(":")[0] == service.world.url.partition(":")[0]
    failed(service)

    status = service.get("/executions/x")
    check(ONE, "get", 200, status)
    assert (status["status"], status["inputs"], status["failed_steps"]) == ("failed", {"who": "me"}, ["second"])
    assert service.get("/executions/x", at=1)["status"] == "running"
    assert service.get("/executions/last")["execution_id"] == "x"

    graph = service.get("/executions/x/graph")
    check(f"{ONE}/graph", "get", 200, graph)
    assert [(step["id"], step["needs"]) for step in graph["steps"]][:2] == [("first", []), ("second", ["first"])]

    timeline = service.get("/executions/x/timeline")
    check(f"{ONE}/timeline", "get", 200, timeline)
    assert [(span["step"], span["kind"]) for span in timeline["spans"]] == [
        ("first", "completed"),
        ("second", "failed"),
    ]
    assert timeline["going_on"] is False
    assert len(service.get("/executions/x/timeline", at=3)["spans"]) == 1

    history = service.world("history", "x", "--json").lines()
    events = service.get("/executions/x/events")
    check(f"{ONE}/events", "get", 200, events)
    assert events == {"events": history, "version": len(history), "has_more": False}
    page = service.get("/executions/x/events", after=2, limit=2)
    assert page == {"events": history[2:4], "version": 4, "has_more": True}
    assert service.get("/executions/x/events", after=100) == {"events": [], "version": 100, "has_more": False}

    logs = service.get("/executions/x/logs", step="first")
    check(f"{ONE}/logs", "get", 200, logs)
    assert [line["text"] for line in logs["lines"]] == ["hello me\n"]
    assert service.get("/executions/x/logs", step="first", after=logs["position"])["lines"] == []

    plan = service.get("/executions/x/plan")
    check(f"{ONE}/plan", "get", 200, plan)
    assert [step["action"] for step in plan["steps"]] == ["KEEP", "RERUN", "RERUN"]
    assert service.get("/executions/x/plan", skip_completed_steps="false")["rerun"] == ["first", "second"]

    workflows = service.get("/workflows")
    check("/api/v1/workflows", "get", 200, workflows)
    assert [(w["name"], w["executions"], w["startable"]) for w in workflows["workflows"]] == [
        ("asking", 0, True),
        ("mendable", 1, True),
    ]


def test_lists_are_filtered_and_paged(service: Service) -> None:
    for name in ("x-1", "x-2", "y-1"):
        failed(service, name)
    whole = service.get("/executions")
    check("/api/v1/executions", "get", 200, whole)
    assert [row["execution_id"] for row in whole["executions"]] == ["y-1", "x-2", "x-1"]
    assert (whole["total"], whole["total_is_exact"], whole["has_more"]) == (3, True, False)

    def found(**query: Any) -> list[str]:
        return [row["execution_id"] for row in service.get("/executions", **query)["executions"]]

    assert found(limit=1, offset=1) == ["x-2"]
    assert found(id_prefix="x-") == ["x-2", "x-1"]
    assert found(status="failed,completed") == found(status=["completed", "failed"]) == ["y-1", "x-2", "x-1"]
    assert found(status="running") == found(workflow="other") == found(tag="b") == found(tag=["a", "b"]) == []
    assert found(tag="a", since="1h", workflow="mendable") == ["y-1", "x-2", "x-1"]
    assert found(since="2999-01-01T00:00:00Z") == []


def test_a_failed_execution_is_resumed_and_forked(service: Service) -> None:
    failed(service)
    service.world.write("mended", "")
    assert service.post("/executions/x/resume", 202) == {"execution_id": "x"}
    wait_until(lambda: service.world.status() == "completed")
    assert service.world.lines("done") == ["one", "three"]

    refused = service.post("/executions/x/resume", 409)
    check(f"{ONE}/resume", "post", 409, refused)
    assert "completed" in refused["error"]["message"]

    forked = service.post("/executions/x/fork", 201, from_step="third", execution_id="y", inputs={"who": "us"})
    assert forked == {"execution_id": "y"}
    wait_until(lambda: service.world.status("y") == "completed")
    assert service.get("/executions/y")["parent"] == "x"
    assert service.post("/executions/x/fork", 409, from_step="third", execution_id="y")["error"]["exit_code"] == 2
    assert service.post("/executions/x/fork", 400, from_step="third", inputs={"whom": "us"})["error"]["message"]


def test_what_has_changed_is_told_with_the_plan(service: Service) -> None:
    failed(service)
    service.world.flow(MENDABLE.replace("hello", "good morning"), "flows/mendable.yaml")
    refused = service.post("/executions/x/resume", 409)
    check(f"{ONE}/resume", "post", 409, refused)
    assert (refused["error"]["exit_code"], refused["plan"]["blocked"]) == (5, ["first"])
    assert service.post("/executions/x/fork", 409, from_step="second")["plan"]["blocked"] == ["first"]
    service.world.write("mended", "")
    service.post("/executions/x/resume", 202, accept_changes=True)
    wait_until(lambda: service.world.status() == "completed")


def test_who_approves_and_what_they_say_is_in_the_event(service: Service) -> None:
    service.post("/executions", 201, workflow="asking", execution_id="x")
    wait_until(lambda: service.world.status() == "waiting_for_approval")
    assert service.get("/executions/x")["steps"][0]["waits"][0]["data"] == {"cost": 3}
    status = service.post("/executions/x/approve", step="ask", comment="fine", response={"n": 1})
    check(f"{ONE}/approve", "post", 200, status)
    granted = service.world.last(ApprovalGranted)
    assert (granted.by, granted.comment, granted.response) == ("page@127.0.0.1", "fine", {"n": 1})
    wait_until(lambda: service.world.status() == "completed")
    assert "final" in service.post("/executions/x/approve", 409, comment="again")["error"]["message"]
    assert service.post("/executions/x/approve", 404, step="nobody")["error"]["exit_code"] == 3


def test_an_approval_is_rejected(service: Service) -> None:
    service.post("/executions", 201, workflow="asking", execution_id="x")
    wait_until(lambda: service.world.status() == "waiting_for_approval")
    check(f"{ONE}/reject", "post", 200, service.post("/executions/x/reject", comment="no"))
    wait_until(lambda: service.world.status() == "failed")


def test_what_runs_is_paused_and_cancelled(service: Service) -> None:
    service.world.begin(WAITING)
    service.world.wait_for_line("at")
    check(f"{ONE}/pause", "post", 200, service.post("/executions/x/pause", why="lunch"))
    wait_until(lambda: service.world.status() == "paused")
    assert service.post("/executions/x/pause", 409)["error"]["message"]
    cancelled = service.post("/executions/x/cancel", why="enough")
    check(f"{ONE}/cancel", "post", 200, cancelled)
    asked = service.world.last(CancelRequested)
    assert (asked.by, asked.why) == ("page@127.0.0.1", "enough")
    wait_until(lambda: service.world.status() == "cancelled")
    assert service.post("/executions/x/cancel", 409)["error"]["message"]


def test_mistakes_are_named(service: Service) -> None:
    failed(service)
    for path in ("", "/graph", "/timeline", "/events", "/logs", "/plan", "/stream"):
        refused = service.get(f"/executions/nobody{path}", 404)
        assert refused["error"]["message"] == "there is no execution 'nobody'"
        check(ONE, "get", 404, refused)
    for verb in ("resume", "cancel", "pause", "approve", "reject"):
        assert service.post(f"/executions/nobody/{verb}", 404)["error"]["exit_code"] == 3
    assert service.post("/executions/nobody/fork", 404, from_step="first")["error"]["exit_code"] == 3
    assert service.post("/executions", 404, workflow="mendabel")["error"]["hint"] == "did you mean mendable?"
    assert service.post("/executions", 409, workflow="mendable", execution_id="x")["error"]["message"]
    for body in ({}, {"workflow": 1}, {"workflow": "mendable", "inputs": []}, {"workflow": "mendable", "input": {}}):
        assert service.post("/executions", 400, **body)["error"]["exit_code"] == 2
    assert service.post("/executions", 400, workflow="mendable", execution_id="../x")["error"]["message"]
    assert service.post("/executions", 400, workflow="mendable", inputs={"who": 1})["error"]["message"]
    assert service.post("/executions", 400, workflow="mendable", tags=["a\0b"])["error"]["message"]
    assert service.post("/executions", 400, workflow="mendable", tags=["\ud800"])["error"]["message"]
    wrong: list[dict[str, Any]] = [
        {"limit": 501}, {"limit": -1}, {"limit": "many"}, {"offset": -1}, {"status": "lost"}, {"since": "then"},
        {"workflov": "x"}, {"limit": [1, 2]}, {"offset": 10**30},
    ]  # fmt: skip
    for query in wrong:
        check("/api/v1/executions", "get", 400, service.get("/executions", 400, **query))
    assert service.get("/executions", 400, workflov="x")["error"]["hint"] == "did you mean `workflow`?"
    assert service.get("/executions/x", 400, at="noon")["error"]["message"]
    assert service.get("/executions/x", 404, at="1999-01-01")["error"]["message"]
    assert service.get("/executions/x/logs", 404, step="nobody")["error"]["message"]
    assert service.get("/executions/x/logs", 404, attempt=7)["error"]["message"]
    assert service.get("/executions/x/plan", 400, from_step="nobody")["error"]["hint"]
    assert service.post("/executions/x/resume", 400, from_step="nobody")["error"]["hint"]
    assert service.post("/executions/x/resume", 400, from_step="first", skip_completed_steps=False)["error"]["hint"]
    assert service.world.sound()


def test_a_wrong_workflow_file_is_told_with_its_problems(service: Service) -> None:
    service.world.flow("steps: [{id: a, runn: echo}]", "flows/mendable.yaml")
    refused = service.post("/executions", 400, workflow="mendable")
    check("/api/v1/executions", "post", 400, refused)
    assert refused["error"]["problems"][0]["hint"] == "did you mean `run`?"


def test_a_service_that_only_shows_changes_nothing(world: World, serve: Services) -> None:
    world.run("steps: [{id: a, run: 'false'}]")
    service = serve("--read-only")
    assert service.get("/service")["read_only"] is True
    for route in ROUTES:
        if route.method == "POST":
            body = {"from_step": "a"} if route.path.endswith("fork") else {}
            body |= {"workflow": "x"} if route.path.endswith("executions") else {}
            path = route.path.removeprefix("/api/v1").replace("{id}", "x")
            check(route.path, "post", 403, service.post(path, 403, **body))
    assert world.status() == "failed"


def test_a_stream_ends_when_the_execution_does(service: Service) -> None:
    failed(service)
    told = service.stream("/executions/x/stream", output=1)
    history = service.world("history", "x", "--json").lines()
    assert [message.data for message in told if message.kind == "event"] == history
    assert [message.number for message in told if message.kind == "event"] == [e["version"] for e in history]
    [output] = [message.data for message in told if message.kind == "output"]
    assert [line["text"] for line in output["lines"]] == ["hello me\n"]
    assert [message.data["status"] for message in told if message.kind in ("status", "end")] == ["failed", "failed"]
    assert told[-1].kind == "end"
    again = service.stream("/executions/x/stream", {"Last-Event-ID": "3"}, after=1)
    assert [message.number for message in again if message.kind == "event"] == list(range(4, len(history) + 1))
    assert service.get("/executions/x/stream", 400, after=-1)["error"]["message"]


def test_it_ends_when_it_is_told_to_and_streams_end_with_it(service: Service) -> None:
    service.world.begin(WAITING)
    service.world.wait_for_line("at")
    with service.http.stream("GET", "/api/v1/executions/x/stream") as answer:
        lines = answer.iter_lines()
        while "StepStarted" not in next(lines):
            pass
        service.process.terminate()
        assert "event: end" not in list(lines)
    _, said = service.process.communicate(timeout=30)
    assert (service.process.returncode, said) == (0, b"")
    service.world.write("open", "")
    wait_until(lambda: service.world.status() == "completed")
