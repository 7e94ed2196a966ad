"""An execution as a JUnit report: a test case for each step, as build systems and their plugins read it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cerebelum.core.model import GROUPS
from cerebelum.core.state import State, StepState
from cerebelum.core.state import status as status_of
from cerebelum.render.failures import error_extract
from cerebelum.render.markup import speakable
from cerebelum.render.text import interruption

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def junit(state: State, now: datetime) -> bytes:
    """The report as XML in UTF-8. Steps that were not reached are skipped test cases; handlers count once they ran."""
    from xml.etree import ElementTree as ET

    cases = []
    for group in GROUPS:
        for step in state.workflow.group(group):
            at = state.steps[step.id]
            if group == "steps" or at.status != "pending":
                cases.append(_case(f"{state.workflow.name}.{group}", step.id, at, now))
    end = state.ended_at or now
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": _seconds((end - state.started_at).total_seconds()),
    }
    suite = ET.Element(
        "testsuite",
        {
            "name": speakable(state.workflow.name),
            **counts,
            "timestamp": state.started_at.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": speakable(state.environment.host),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, text in (("execution_id", state.execution_id), ("status", status_of(state))):
        ET.SubElement(properties, "property", {"name": name, "value": speakable(text)})
    suite.extend(cases)
    suites = ET.Element("testsuites", {"name": speakable(state.workflow.name), **counts})
    suites.append(suite)
    ET.indent(suites)
    xml: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _case(suite: str, step_id: str, at: StepState, now: datetime) -> Element:
    from xml.etree.ElementTree import Element, SubElement

    case = Element(
        "testcase", {"classname": speakable(suite), "name": speakable(step_id), "time": _seconds(at.whole(now) or 0.0)}
    )
    match at.status:
        case "completed":
            pass
        case "failed" if at.error is not None:
            kind, message = speakable(at.error.kind), speakable(at.error.message)
            failure = SubElement(case, "failure", {"type": kind, "message": message})
            failure.text = speakable(error_extract(at.error))
        case "interrupted":
            why = speakable(interruption(at.interrupted))
            SubElement(case, "error", {"type": "interrupted", "message": why})
        case "skipped":
            SubElement(case, "skipped", {"message": speakable(at.skipped or "")})
        case "pending":
            SubElement(case, "skipped", {"message": "not reached"})
        case _:
            SubElement(case, "skipped", {"message": at.status.replace("_", " ")})
    return case


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.3f}"
