"""An execution as a JUnit report: a test case for each step, as build systems and their plugins read it."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING

from cerebelum.core.model import GROUPS
from cerebelum.core.state import State, StepState
from cerebelum.core.state import status as status_of
from cerebelum.render.display import harmless
from cerebelum.render.text import interruption

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
            "name": _xml(state.workflow.name),
            **counts,
            "timestamp": state.started_at.strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": _xml(state.environment.host),
        },
    )
    properties = ET.SubElement(suite, "properties")
    for name, text in (("execution_id", state.execution_id), ("status", status_of(state))):
        ET.SubElement(properties, "property", {"name": name, "value": _xml(text)})
    suite.extend(cases)
    suites = ET.Element("testsuites", {"name": _xml(state.workflow.name), **counts})
    suites.append(suite)
    ET.indent(suites)
    xml: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml + b"\n"


def _case(suite: str, step_id: str, at: StepState, now: datetime) -> Element:
    from xml.etree.ElementTree import Element, SubElement

    case = Element(
        "testcase", {"classname": _xml(suite), "name": _xml(step_id), "time": _seconds(at.whole(now) or 0.0)}
    )
    match at.status:
        case "completed":
            pass
        case "failed" if at.error is not None:
            kind, message = _xml(at.error.kind), _xml(at.error.message)
            more = "\n".join(part for part in (at.error.tail, at.error.traceback) if part)
            SubElement(case, "failure", {"type": kind, "message": message}).text = _xml(more)
        case "interrupted":
            why = _xml(interruption(at.interrupted))
            SubElement(case, "error", {"type": "interrupted", "message": why})
        case "skipped":
            SubElement(case, "skipped", {"message": _xml(at.skipped or "")})
        case "pending":
            SubElement(case, "skipped", {"message": "not reached"})
        case _:
            SubElement(case, "skipped", {"message": at.status.replace("_", " ")})
    return case


def _seconds(seconds: float) -> str:
    return f"{max(0.0, seconds):.3f}"


def _xml(text: str) -> str:
    """Text with nothing in it that XML does not take."""
    return _NO_XML.sub("\ufffd", harmless(text))
