"""The page about an execution: complete, whole by itself, well-formed, and inert whatever steps printed."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from cerebelum.core.events import (
    AnyEvent,
    ApprovalGranted,
    ApprovalRequested,
    Environment,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    SleepCompleted,
    SleepStarted,
    StepCompleted,
    StepError,
    StepFailed,
    StepInterrupted,
    StepSkipped,
    StepStarted,
)
from cerebelum.core.evolve import reconstruct
from cerebelum.core.model import Source, Step, Workflow
from cerebelum.core.state import status
from cerebelum.core.status import Status
from cerebelum.core.summary import summarise
from cerebelum.render.printed import Printed, attempts_of, last_printed, share, worth_showing
from cerebelum.render.report import Report, page
from cerebelum.render.svg import NAMESPACE
from cerebelum.render.text import command_line
from cerebelum.render.timeline import Timeline, timeline
from cerebelum.store import Chunk, Ownership, Row
from cerebelum.store.lookup import View
from tests.cli.conftest import Home
from tests.lifecycle.world import World, finish
from tests.stores import only_sqlite

# What is tested here is the same on any store.
pytestmark = [only_sqlite, pytest.mark.usefixtures("store_url")]

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Page(HTMLParser):
    """A page taken apart; fails where tags are not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        self.stack.append((tag, dict(attrs)))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute of {tag} is there twice"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.shown.append((tuple(tag for tag, _ in self.stack), data))

    def words(self, *within: str) -> str:
        """The texts inside of all these elements, without style sheets."""
        texts = (data for path, data in self.shown if set(within) <= set(path) and "style" not in path)
        return re.sub(r"\s+", " ", " ".join(texts))

    def section(self, anchor: str) -> Page:
        found = re.search(rf'<section id="{anchor}".*?</section>', self.text, re.DOTALL)
        assert found, anchor
        return Page(found[0])

    def rows(self, anchor: str) -> dict[str, list[str]]:
        """The cells of a table's rows, by the first word in them."""
        text = self.section(anchor).text
        rows = [
            [Page(cell).words().strip() for cell in re.findall(r"<(?:th|td)\b.*?</(?:th|td)>", row, re.DOTALL)]
            for row in re.findall(r"<tr.*?</tr>", text, re.DOTALL)
        ]
        return {cells[0].partition(" ")[0]: cells[1:] for cells in rows}

    def pictures(self) -> list[ET.Element]:
        return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", self.text, re.DOTALL)]

    def bars(self, step: str) -> list[str]:
        """The kinds of a step's bars in the timeline, from left to right."""
        found = []
        for bar in self.pictures()[0].iter("rect"):
            title = bar.findtext("title") or ""
            if title.startswith(f"{step}, attempt "):
                found.append((float(bar.attrib["x"]), bar.attrib["class"].removeprefix("span ")))
        return [kind for _, kind in sorted(found, key=lambda bar: bar[0])]

    def bands(self) -> list[str]:
        classes = [
            bar.attrib.get("class", "") for bar in self.pictures()[0].iter("rect") if bar.find("title") is not None
        ]
        return [name.split()[-1] for name in classes if name.startswith("band")]


def sound(text: str) -> Page:
    """The page, which must be whole by itself and unable to do anything."""
    found = Page(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    for tag, attributes in found.tags:
        assert tag not in ("script", "img", "iframe", "link", "object", "embed", "form", "base", "image", "use"), tag
        assert not any(name.startswith("on") or name in ("src", "srcset", "style", "action") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    styles = "".join(data for path, data in found.shown if path[-1:] == ("style",))
    assert "prefers-color-scheme: dark" in styles
    assert "@media print" in styles
    assert not re.search(r"url\(|@import|expression\(", styles)
    assert set(re.findall(r"https?://[\w./]+", text)) <= {NAMESPACE}
    policy = next(a["content"] for tag, a in found.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    pictures = [attributes for tag, attributes in found.tags if tag == "svg"]
    assert len(pictures) == len(found.pictures()) == 2
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in pictures)
    anchors = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(set(anchors)) == len(anchors)
    assert {a["href"] for _, a in found.tags if "href" in a} <= {f"#{anchor}" for anchor in anchors}
    return found


def report(cli: Home, name: str = "x") -> Page:
    done = cli("report", name)
    assert (done.code, done.err) == (0, "")
    return sound(done.out)


# -- executions that were run -----------------------------------------------------------------------------------------

RICH = """
    name: rich
    description: A bit of everything.
    inputs: {version: {type: string, default: 1.2.3}}
    steps:
      - {id: build, run: 'echo building; echo "size=12" >> "$CEREBELUM_OUTPUT"'}
      - parallel:
          - {id: left, run: 'echo left; echo wrong >&2'}
          - id: flaky
            retry: {attempts: 3, delay: 10ms}
            run: echo "try $CEREBELUM_ATTEMPT"; test "$CEREBELUM_ATTEMPT" -ge 2
      - {id: never, when: false, run: 'true'}
      - {id: rest, sleep: 10ms}
      - {id: go, approval: {message: 'Ship it?', timeout: 2h}}
      - {id: upload, run: 'echo uploading; echo no server >&2; test -e mended'}
      - {id: announce, run: 'echo live', output: text}
    on_failure: [{id: undo, run: echo undone}]
    finally: [{id: sweep, run: 'true'}]
    output: {said: '${{ steps.announce.output }}'}
    """


def test_a_failed_execution_and_the_same_one_resumed(world: World) -> None:
    runner = world.begin(RICH, "--tag", "nightly")
    world.wait_for_event("ApprovalRequested go")
    waiting = report(world)
    assert "‖ waiting for approval" in waiting.words("header")
    assert "cerebelum approve x go" in waiting.words("header", "code")
    assert waiting.bars("go")[-1] == "waiting_for_approval"
    assert world("approve", "x", "--by", "ann", "--comment", "fine").code == 0
    assert finish(runner).code == 1

    failed = report(world)
    head = failed.words("header")
    for text in ("x", "✗ failed", "A bit of everything.", "rich", "version=1.2.3", "nightly", str(world.folder)):
        assert text in head
    assert "resume with: cerebelum resume x" in head
    wrong = failed.section("errors").words()
    assert re.search(r"✗ upload.*exit code 1.*uploading no server", wrong)
    rows = failed.rows("steps")
    assert rows["build"][0] == "✓ completed"
    assert rows["build"][5] == '{"size":"12"}'
    assert rows["flaky"][:2] == ["✓ completed", "2"]
    assert (rows["never"][0], rows["never"][6]) == ("– skipped", "skipped: condition")
    assert "Ship it?: granted by ann (fine)" in rows["go"][6]
    assert rows["upload"][0] == "✗ failed"
    assert rows["announce"][0] == "· pending"
    assert rows["undo"][0] == "✓ completed"
    assert failed.bars("flaky") == ["failed", "retrying", "completed"]
    assert failed.bars("rest") == ["completed", "sleeping", "completed"]
    assert "waiting_for_approval" in failed.bars("go")
    assert failed.bars("upload") == ["failed"]

    world.write("mended", "")
    assert world("resume", "x").code == 0
    done = report(world)
    assert "✓ completed" in done.words("header")
    assert "resumed 1 time" in done.words("header")
    assert 'id="errors"' not in done.text
    assert '"said": "live"' in done.section("output").words()
    assert done.bars("upload") == ["failed", "completed"]
    assert "over" in done.bands()
    summaries = done.section("logs").words("summary")
    assert re.search(r"flaky , attempt 1 · ✗ failed · .* flaky , attempt 2 · ✓ completed", summaries)
    assert "try 2" in done.section("logs").words("pre")
    assert 'class="stderr" title="standard error">wrong' in done.section("logs").text
    events = done.rows("events")
    assert len(events) == len(world.events()) + 1
    assert events["1"][1] == "ExecutionStarted"
    assert any(cells[1:] == ["ApprovalGranted", "go", "by ann, comment=fine"] for cells in events.values())


def test_a_fork_names_its_parent_and_what_was_taken_over(world: World) -> None:
    text = "steps: [{id: a, run: 'true'}, {id: b, run: 'true'}]"
    assert world.run(text).code == 0
    assert world("fork", "x", "--from", "b", "--id", "y").code == 0
    page = report(world, "y")
    assert re.search("fork of x ", page.words("header"))
    assert page.rows("steps")["a"][6] == "taken over"
    assert page.bars("a") == []
    assert page.bars("b") == ["completed"]


def test_an_execution_that_goes_on_and_what_its_runner_leaves_when_it_dies(world: World) -> None:
    runner = world.begin("steps: [{id: a, run: 'echo begun; test -e mended || sleep 60'}, {id: b, run: 'true'}]")
    world.wait_for_event("StepStarted a")
    page = report(world)
    assert "▶ running" in page.words("header")
    assert f"process {runner.pid} on" in page.words("header")
    assert "so far" in page.words("header")
    assert page.bars("a") == ["running"]
    assert page.rows("steps")["a"][0] == "▶ running"
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    dead = report(world)
    assert "‖ paused" in dead.words("header")
    assert "interrupted" in dead.words("header")
    assert dead.bars("a") == ["interrupted"]
    world.write("mended", "")
    assert world("resume", "x").code == 0
    again = report(world)
    assert again.bars("a") == ["interrupted", "completed"]
    assert again.bands() == ["undriven"] or set(again.bands()) == {"undriven", "cut"}


HOSTILE = """
    name: hostile
    description: "</title></style><script>alert(1)</script>&amp;"
    inputs: {who: {type: string, default: "<b onclick='x()'>you</b>"}}
    steps:
      - id: a
        description: "<img src=x onerror=alert(2)>"
        run: |
          printf '</pre></details><script>alert(3)</script><img src=x onerror=alert(4)>\\n'
          printf '\\033[31mred\\033[0m \\033]0;title\\007 \\033[2J \\342\\200\\256evil\\377\\n'
          echo '{"x": "</td><iframe src=https:evil>"}' >> "$CEREBELUM_OUTPUT.json"
          echo "text=<svg/onload=alert(5)>" >> "$CEREBELUM_OUTPUT"
      - {id: b, run: 'echo "</pre><script>alert(6)</script>" >&2; exit 1'}
    """


def test_what_steps_print_and_are_called_is_inert(world: World) -> None:
    assert world.run(HOSTILE, "--tag", "<u>").code == 1
    page = report(world)
    assert "<script>alert(3)</script><img src=x onerror=alert(4)>" in page.section("logs").words("pre")
    assert "red ␛]0;title␇ ␛[2J \\u202eevil�" in page.section("logs").words("pre")
    assert "<script>alert(6)</script>" in page.section("errors").words("pre")
    assert "</title></style><script>alert(1)</script>&amp;" in page.words("header")
    assert "who=<b onclick='x()'>you</b>" in page.words("header")
    assert "<svg/onload=alert(5)>" in page.rows("steps")["a"][5]


@pytest.mark.needs_tool("chromium")
def test_a_browser_shows_the_page_and_runs_nothing_of_it(world: World) -> None:
    assert world.run(HOSTILE).code == 1
    assert world("report", "x", "-o", "x.html").code == 0
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    more = f"--disable-component-update --disable-sync --user-data-dir={world.folder / 'browser'} --dump-dom"
    shown = subprocess.run(
        ["chromium", *flags.split(), *more.split(), (world.folder / "x.html").as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    assert shown.count("<section ") == 6
    assert shown.count("<svg ") == 2
    assert shown.count("</footer>") == 1
    assert not re.search(r"<(script|img|iframe|u|b)\b", shown)
    assert "&lt;script&gt;alert(3)&lt;/script&gt;" in shown


# -- where it goes ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small(cli: Home) -> Home:
    cli.write("w.yaml", "steps: [{id: a, run: echo größe}]\n")
    assert cli("run", "w.yaml", "--id", "x").code == 0
    return cli


def test_it_goes_to_a_file_or_to_standard_output(small: Home) -> None:
    said = small("report", "-o", "page.html")
    assert (said.code, said.out, said.err) == (0, "wrote page.html\n", "")
    written = (small.folder / "page.html").read_text("utf-8")
    assert "größe" in sound(written).words("pre")
    small.write("page.html", "x" * 1_000_000)
    assert small("report", "x", "-o", "page.html").code == 0
    sound((small.folder / "page.html").read_text("utf-8"))
    out = small("report", "last", "-o", "-", env={"PYTHONIOENCODING": "ascii"})
    assert "größe" in sound(out.out).words("pre"), "a page is UTF-8 whatever the terminal takes"


def test_on_a_terminal_it_goes_to_a_file_that_is_called_like_the_execution(small: Home) -> None:
    ours, theirs = pty.openpty()
    try:
        said = small("report", "x", stdout=theirs)
        assert said.code == 0, said
        assert os.read(ours, 1000) == b"wrote x.html\r\n"
    finally:
        os.close(ours)
        os.close(theirs)
    sound((small.folder / "x.html").read_text("utf-8"))


def test_what_cannot_be_written_or_is_not_there_is_said(small: Home) -> None:
    (small.folder / "folder").mkdir()
    refused = small("report", "x", "-o", "folder")
    assert (refused.code, refused.out) == (2, "")
    assert "it is a folder" in refused.err
    assert "-o folder/x.html" in refused.err
    nowhere = small("report", "x", "-o", "no/such/page.html")
    assert nowhere.code == 2
    assert "no/such/page.html: it cannot be written: No such file or directory" in nowhere.err
    assert small("report", "nobody").code == 3
    assert small("report", "nobody", "-o", "nobody.html").code == 3
    assert not (small.folder / "nobody.html").exists()
    full = small("report", "x", "-o", "/dev/full")
    assert (full.code, "it cannot be written" in full.err) == (2, True)


# -- from made-up events ----------------------------------------------------------------------------------------------


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


class Log:
    """Events one after the other."""

    def __init__(self, *steps: str | Step, name: str = "w") -> None:
        self.events: list[AnyEvent] = []
        every = tuple(Step(id=s, executor="run", body="true") if isinstance(s, str) else s for s in steps)
        self.add(
            ExecutionStarted,
            0,
            workflow=name,
            definition=Workflow(name=name, steps=every),
            source=Source("yaml", "/w.yaml", "0"),
            inputs={},
            environment=Environment("host", "/work", "linux", "0.1.0", "c0ffee", "ann"),
        )

    def add(self, kind: Any, when: float, /, **fields: Any) -> Log:
        self.events.append(kind(version=len(self.events) + 1, at=at(when), **fields))
        return self

    def ran(self, step: str, begin: float, end: float, attempt: int = 1) -> Log:
        self.add(StepStarted, begin, step=step, attempt=attempt, executor="run")
        return self.add(StepCompleted, end, step=step, attempt=attempt, duration=end - begin)

    def view(self, shown: Status | None = None) -> View:
        state = reconstruct("x", self.events)
        assert state is not None
        summary = summarise(state, "0" * 64)
        return View(state, shown or status(state), summary.reason, Row(summary, Ownership(None, 1), None))

    def timeline(self, now: float = 1e6, shown: Status | None = None) -> Timeline:
        return timeline(self.view(shown), self.events, at(now))

    def page(self, printed: dict[tuple[str, int], Printed] | None = None, now: float = 1e6) -> Page:
        def command(*words: str) -> str:
            return command_line(None, (), *words)

        return sound(page(Report(self.view(), self.events, printed or {}, at(now), "0.1.0", command)))


def spans(line: Timeline, step: str) -> list[tuple[str, int, float, float]]:
    """A step's spans with seconds since the beginning."""
    track = next(track for track in line.tracks if track.step == step)
    return [
        (span.kind, span.attempt, (span.begin - BEGIN).total_seconds(), (span.end - BEGIN).total_seconds())
        for span in track.spans
    ]


def test_attempts_waits_and_rests_are_worked_out_from_the_events() -> None:
    log = Log("a", "b", "c", "d")
    error = StepError("exit", "exit code 1")
    log.add(StepStarted, 1, step="a", attempt=1, executor="run")
    log.add(StepFailed, 2, step="a", attempt=1, error=error, retry_at=at(5), duration=1.0)
    log.ran("a", 5, 6, attempt=2)
    log.add(StepStarted, 6, step="b", attempt=1, executor="python")
    log.add(SleepStarted, 7, step="b", call=0, until=at(9), seconds=2.0)
    log.add(SleepCompleted, 9, step="b", call=0)
    log.add(ApprovalRequested, 10, step="b", call=1, message="Go?")
    log.add(ApprovalGranted, 20, step="b", call=1, by="bob")
    log.add(StepStarted, 21, step="b", attempt=1, executor="python")
    log.add(StepInterrupted, 22, step="b", attempt=1, why="stopped")
    log.add(ExecutionPaused, 23, why="operator", by="ann")
    log.add(ExecutionResumed, 30, reason="manual")
    log.ran("b", 30, 31, attempt=2)
    log.add(StepSkipped, 31, step="c", why="condition")
    log.add(StepFailed, 32, step="d", attempt=1, error=error)
    log.add(ExecutionFailed, 32, error=error, failed_steps=("d",))
    line = log.timeline()
    assert spans(line, "a") == [("failed", 1, 1, 2), ("retrying", 1, 2, 5), ("completed", 2, 5, 6)]
    assert spans(line, "b") == [
        ("interrupted", 1, 6, 7),
        ("sleeping", 1, 7, 9),
        ("interrupted", 1, 9, 10),
        ("waiting_for_approval", 1, 10, 20),
        ("interrupted", 1, 21, 22),
        ("completed", 2, 30, 31),
    ]
    assert spans(line, "d") == [("failed", 1, 32, 32)], "what could not start has failed all the same"
    [skipped] = [track for track in line.tracks if track.step == "c"]
    assert (skipped.spans, skipped.skips) == ((), ((at(31), "skipped: condition"),))
    assert [(rest.kind, rest.said) for rest in line.rests] == [("paused", "paused by ann")]
    assert [(rest.begin, rest.end) for rest in line.rests] == [(at(23), at(30))]
    assert line.end == at(32), "it is over, whatever the time is now"
    assert [span.said for track in line.tracks for span in track.spans if span.kind == "waiting_for_approval"] == [
        "Go?: granted by bob"
    ]


def test_what_a_dead_runner_did_ends_with_the_last_that_is_known_of_it() -> None:
    log = Log("a", "b").ran("a", 1, 2)
    log.add(StepStarted, 2, step="b", attempt=1, executor="run")
    assert spans(log.timeline(10), "b") == [("running", 1, 2, 10)]
    assert spans(log.timeline(10, "paused"), "b") == [("interrupted", 1, 2, 2)]
    log.add(ExecutionResumed, 100, reason="resurrected", continues=True)
    log.add(StepInterrupted, 101, step="b", attempt=1, why="runner_died")
    log.ran("b", 101, 102, attempt=2)
    log.add(ExecutionCompleted, 103)
    line = log.timeline()
    assert spans(line, "b") == [("interrupted", 1, 2, 2), ("completed", 2, 101, 102)]
    assert [(rest.kind, rest.begin, rest.end) for rest in line.rests] == [("undriven", at(2), at(100))]


def test_long_waits_are_drawn_shorter_and_the_axis_says_so() -> None:
    log = Log("a", "b").ran("a", 0, 60)
    log.add(ExecutionPaused, 60, why="operator").add(ExecutionResumed, 100_000, reason="manual")
    log.ran("b", 100_000, 100_060).add(ExecutionCompleted, 100_060)
    page = log.page()
    picture = page.pictures()[0]
    widths = {
        bar.attrib["class"]: float(bar.attrib["width"]) for bar in picture.iter("rect") if bar.find("title") is not None
    }
    assert widths["span completed"] > 200
    assert 100 < widths["band cut"] < 400
    assert widths["band rest paused"] == widths["band cut"]
    assert "⋯ 1 d 3 h ⋯" in page.words("svg")
    ticks = [text for text in picture.iter("text") if text.get("class") == "tick" and "⋯" not in (text.text or "")]
    assert 4 <= len(ticks) <= 12
    places = [float(tick.attrib["x"]) for tick in ticks]
    assert all(b - a > 60 for a, b in pairwise(places)), "labels do not run into one another"
    days = [text.text for text in picture.iter("text") if text.get("class") == "tick day"]
    assert len(days) == len(set(days)) == 2


@pytest.mark.parametrize("long", [0.0, 0.004, 0.3, 7.0, 59.0, 3600.0, 86_400.0, 5e7])
def test_there_are_ticks_for_any_length(long: float) -> None:
    picture = Log("a").ran("a", 0.0, long).add(ExecutionCompleted, long).page().pictures()[0]
    ticks = [text.text or "" for text in picture.iter("text") if (text.get("class") or "").startswith("tick")]
    assert len(ticks) <= 11
    assert len(ticks) >= (3 if long else 1)


def test_hundreds_of_steps_and_thousands_of_events_are_bounded() -> None:
    names = [f"step-{number}" for number in range(700)]
    log = Log(*names)
    for number, name in enumerate(names):
        log.ran(name, number, number + 0.5)
    page = log.add(ExecutionCompleted, 700).page()
    assert len(page.rows("steps")) == 701
    assert page.bars("step-699") == ["completed"]
    events = page.rows("events")
    assert len(events) == 602
    assert "802 events are left out here; all are shown by cerebelum history x" in page.section("events").words()
    assert {"1", "300", "1103", "1402"} <= set(events)
    assert len(page.text) < 2_000_000


def test_very_many_steps_are_drawn_up_to_a_number() -> None:
    names = [f"step-{number}" for number in range(1003)]
    log = Log(*names)
    for name in names:
        log.ran(name, 0, 1)
    page = log.page()
    assert page.bars("step-999") == ["completed"]
    assert page.bars("step-1000") == []
    assert "3 more steps are not drawn." in page.section("over-time").words()
    assert "step-1002" in page.rows("steps")


def test_of_very_many_attempts_the_last_are_shown() -> None:
    log = Log("a", "b")
    for attempt in range(1, 301):
        log.ran("a", attempt, attempt + 0.5, attempt)
    log.ran("b", 400, 401)
    page = log.page()
    assert page.bars("a") == ["completed"] * 200
    assert "Of steps with many attempts the last 200 bars are drawn." in page.section("over-time").words()
    shown = worth_showing(attempts_of(log.events))
    assert shown == {*(("a", attempt) for attempt in range(281, 301)), ("b", 1)}
    told = page.section("logs").words()
    assert "280 earlier attempts are left out; all are shown by cerebelum logs x" in told
    assert len(worth_showing([(f"s{number}", 1) for number in range(9000)])) == 2000


def test_long_and_right_to_left_names_stay_in_their_place() -> None:
    long, hebrew, wide = "n" * 300, "שלום" * 75, "日本" * 150
    log = Log(long, hebrew, wide, name="שלום (עולם)")
    for name in (long, hebrew, wide):
        log.ran(name, 0, 1)
    page = log.page()
    rows = page.rows("steps")
    assert all(name in rows for name in (long, hebrew, wide))
    names = [text for text in page.pictures()[0].iter("text") if text.get("class") == "name"]
    assert [name.findtext("title") for name in names] == [long, hebrew, wide]
    assert [(name[0].tail or "")[-1:] for name in names] == ["…", "…", "…"]
    assert f"<bdi>{hebrew}</bdi>" in page.text, "its direction does not turn what stands beside it"


def test_the_same_input_gives_the_same_page() -> None:
    log = Log("a", "b").ran("a", 0, 1)
    assert log.page(now=5).text == log.page(now=5).text


def test_an_execution_without_anything_is_a_page_too() -> None:
    page = Log().page(now=0)
    assert "Nothing was printed." in page.section("logs").words()
    assert "c0ffee" in page.words("header")
    assert "ann@host" in page.words("header")


# -- what was printed -------------------------------------------------------------------------------------------------


def chunks(*parts: tuple[str, bytes], step: str = "a", attempt: int = 1) -> Iterable[Chunk]:
    offset = 0
    for stream, data in parts:
        yield Chunk(step, attempt, offset, "stderr" if stream == "stderr" else "stdout", BEGIN, data)
        offset += len(data)


def ends(parts: Iterable[Chunk], *bounds: int) -> tuple[str, int, int]:
    """The text that is kept of an attempt, and the lines and bytes before it."""
    printed = last_printed(parts, *bounds)["a", 1]
    return "".join(piece.text for piece in printed.pieces), printed.lines_before, printed.bytes_before


def test_the_last_lines_of_output_are_kept_whole() -> None:
    lines = [b"line %d\n" % number for number in range(1000)]
    for cut in (1, 7, 100, 100_000):
        data = b"".join(lines)
        pieces = [("stdout", data[start : start + cut]) for start in range(0, len(data), cut)]
        text, before, missing = ends(chunks(*pieces), 64 << 10, 200)
        assert text == b"".join(lines[800:]).decode()
        assert (before, missing) == (800, sum(map(len, lines[:800])))
        text, before, missing = ends(chunks(*pieces), 95, 200)
        assert text == b"".join(lines[-10:]).decode()
        assert (before, missing) == (990, sum(map(len, lines[:990])))


@pytest.mark.parametrize(
    ("parts", "bounds", "kept"),
    [
        ([b"x" * 100], (10, 5), ("x" * 10, 0, 90)),
        ([b"a\n", b"b"], (10, 1), ("b", 1, 2)),
        ([b"a\nb\n"], (10, 1), ("b\n", 1, 2)),
        ([b"a\n\n\n"], (10, 2), ("\n\n", 1, 2)),
        ([b"", b"a"], (10, 2), ("a", 0, 0)),
    ],
)
def test_bounds_hold_at_the_edges(parts: Sequence[bytes], bounds: tuple[int, int], kept: tuple[str, int, int]) -> None:
    assert ends(chunks(*(("stdout", part) for part in parts)), *bounds) == kept


def test_streams_stay_apart_and_what_is_missing_is_noted() -> None:
    parts = [*chunks(("stdout", b"out\n"), ("stderr", b"err\n"))]
    parts.append(Chunk("a", 1, 2048 + 8, "stdout", BEGIN, b"later\n"))
    printed = last_printed(parts)["a", 1]
    assert [(piece.stream, piece.text) for piece in printed.pieces] == [
        ("stdout", "out\n"),
        ("stderr", "err\n"),
        ("note", "2.0 KiB left out here"),
        ("stdout", "later\n"),
    ]
    shown = Log("a").ran("a", 0, 1).page({("a", 1): printed}).section("logs")
    assert "… 2.0 KiB left out here" in shown.words("pre")


def test_what_is_left_out_is_told_with_the_command_that_shows_it() -> None:
    printed = last_printed(chunks(("stdout", b"line\n" * 1234)))
    shown = Log("a").ran("a", 0, 1).page(printed).section("logs").words()
    assert "Left out before this: 1,034 lines, 5.0 KiB, which are shown by cerebelum logs x a --attempt 1" in shown


def test_many_attempts_share_what_a_page_may_hold() -> None:
    assert share(0) == share(100) == 64 << 10
    assert share(1000) * 1000 <= 8 << 20
    assert share(10**6) == 2 << 10
