// One execution: what the service tells of it, kept up to date, and shown by the parts of the page.

import { decideDialog, endDialog, forkDialog, resumeDialog } from "./actions.js";
import { get, of } from "./api.js";
import { problem } from "./dialogs.js";
import { goesOn, words } from "./display.js";
import { coalesced, el, fill } from "./dom.js";
import { ganttView } from "./gantt.js";
import { graphView } from "./graph.js";
import { headView } from "./head.js";
import { historyView } from "./history.js";
import { outputView } from "./output.js";
import { changed, go, link } from "./route.js";
import { errorPanel, stepsView, valuePanel } from "./steps.js";
import { follow } from "./stream.js";

const MOST_REMEMBERED = 200;

/** What an execution was before it was started. */
function unborn(at) {
  return {
    ...at,
    status: "not started",
    reason: null,
    steps_done: 0,
    steps: at.steps.map((step) => ({ ...step, status: "pending" })),
  };
}

/** The view of the execution at a place. */
export function executionView(shell, first) {
  let place = first,
    id = first.id;
  let now = null,
    shown = null,
    shownLine = null,
    stream = null,
    over = false,
    closed = false,
    said = null;
  const remembered = new Map();
  const version = () => {
    const at = Number.parseInt(place.query.get("at"), 10);
    return at >= 0 ? at : null;
  };
  const chosen = () => place.query.get("step") || "";
  const choose = (step) => go(changed(place, { step: step === chosen() ? null : step }), true);

  // -- the parts --

  const travel = (at) => go(changed(place, { at }), true);
  const graph = graphView(choose),
    gantt = ganttView(choose),
    table = stepsView(choose),
    history = historyView(travel);
  const output = outputView((step) => go(changed(place, { step }), true));
  const follows = (done) => {
    if (done?.status) now = { ...now, ...done };
    refresh();
  };
  const head = headView({
    resume: () => resumeDialog(now, follows),
    pause: () => endDialog("pause", now, follows),
    cancel: () => endDialog("cancel", now, follows),
    approve: (step) => decideDialog("approve", now, step, follows),
    reject: (step) => decideDialog("reject", now, step, follows),
    fork: () => forkDialog(now, chosen()),
    back: (event) => {
      event.preventDefault();
      shell.back();
    },
  });
  const past = el("p", { class: "past-note", role: "status", hidden: true });
  const trouble = el("div", { class: "errors-of" }),
    errors = el("div", { class: "errors-of" }),
    values = el("div", { class: "values" });
  const node = el("div", { class: "execution", "aria-busy": "true" }, el("p", { class: "quiet" }, "Loading…"));
  const frame = [
    head.node,
    history.bar,
    past,
    trouble,
    head.asks,
    errors,
    el(
      "div",
      { class: "columns" },
      el(
        "section",
        { class: "panel graph-panel", "aria-label": "Graph" },
        el("div", { class: "panel-head" }, el("h2", {}, "Graph")),
        graph.node,
      ),
      output.node,
    ),
    el(
      "section",
      { class: "panel timeline-panel", "aria-label": "Timeline" },
      el("div", { class: "panel-head" }, el("h2", {}, "Timeline")),
      gantt.node,
    ),
    table.panel,
    values,
    history.panel,
  ];

  // -- showing --

  const show = () => {
    if (!shown) return;
    const at = version();
    head.show(shown, history.first(), { past: at !== null, readOnly: shell.service.read_only });
    graph.paint(at === null ? shown.steps : shown.steps.map((step) => ({ ...step, past: true })));
    graph.choose(chosen());
    table.show(shown.steps, chosen());
    output.steps(
      shown.steps.map((step) => step.id),
      chosen(),
    );
    if (shownLine) gantt.show(shownLine, at !== null);
    history.at(at);
    past.hidden = at === null;
    const moment =
      at === null ? "" : at === 0 ? "This is before it was started." : `This is how it stood after version ${at}.`;
    if (past.textContent !== moment) fill(past, moment);
    showErrors();
    node.classList.toggle("is-past", at !== null);
    const title = `${at === null ? "" : "then "}${words(shown.status)}: ${shown.execution_id}`;
    shell.title(title);
    if (at === null && said !== shown.status) {
      if (said !== null) shell.announce(`${shown.execution_id} is ${words(shown.status)} now`);
      said = shown.status;
    }
  };

  let errorsBefore = "",
    valuesBefore = "";
  const showErrors = () => {
    const failed = shown.steps.filter(
      (step) => step.error && ["failed", "retrying", "interrupted"].includes(step.status),
    );
    const whole = !failed.length && shown.error ? [[shown.workflow, shown.error, ""]] : [];
    const list = [
      ...failed.map((step) => [step.id, step.error, step.attempt > 1 ? `attempt ${step.attempt}` : ""]),
      ...whole,
    ];
    const key = JSON.stringify(list);
    if (key !== errorsBefore) {
      errorsBefore = key;
      fill(
        errors,
        list.slice(0, 20).map((one) => errorPanel(...one)),
      );
    }
    const step = shown.steps.find((one) => one.id === chosen());
    const panels = [
      Object.keys(shown.inputs).length > 0 && ["Inputs", shown.inputs],
      shown.output !== null && ["Output of the workflow", shown.output],
      step && step.output !== null && [`Output of ${step.id}`, step.output],
    ].filter(Boolean);
    const valuesKey = JSON.stringify(panels);
    if (valuesKey !== valuesBefore) {
      valuesBefore = valuesKey;
      fill(
        values,
        panels.map((panel) => valuePanel(...panel)),
      );
    }
  };

  // -- what the service tells --

  const fetchThen = async (at) => {
    if (remembered.has(at)) return remembered.get(at);
    const query = { at: Math.max(1, at) };
    const [status, line] = await Promise.all([get(of(id), query), get(of(id, "timeline"), query)]);
    const found = at === 0 ? [unborn(status), { ...line, spans: [], going_on: false }] : [status, line];
    if (remembered.size >= MOST_REMEMBERED) remembered.clear();
    remembered.set(at, found);
    return found;
  };

  const fetchNow = async () => {
    const [status, line] = await Promise.all([get(of(id)), get(of(id, "timeline"))]);
    if (closed) return;
    if (now && now.resumes !== status.resumes) await fetchGraph();
    now = status;
    if (version() === null) [shown, shownLine] = [status, line];
  };

  const fetchGraph = async () => {
    const { steps } = await get(of(id, "graph"));
    if (!closed) graph.show(steps);
  };

  const refetch = async () => {
    try {
      await fetchNow();
      if (closed) return;
      fill(trouble);
      show();
      if (!over) return;
      // What was over goes on, since somebody resumed it; or did, and is over again.
      if (goesOn(now.status)) connect();
      else if (history.last() < now.version) await Promise.all([history.load(id), version() === null && output.more()]);
    } catch (error) {
      if (error.status) fill(trouble, problem(error));
    }
  };
  const refresh = coalesced(refetch, 250);

  const showVersion = async () => {
    const at = version();
    if (at === null) {
      shown = now;
      show();
      await refetch();
      return;
    }
    try {
      const [status, line] = await fetchThen(Math.min(at, Math.max(history.last(), 1)));
      if (closed || version() !== at) return;
      [shown, shownLine] = [status, line];
      fill(trouble);
      show();
    } catch (error) {
      if (error.status) fill(trouble, problem(error));
    }
  };

  /** Follow it while it goes on, and otherwise hear when somebody resumes it. */
  const connect = () => {
    stream?.close();
    over = !goesOn(now.status);
    if (over) {
      stream = follow("api/v1/stream", {
        hear: (type, data) => {
          if (type === "change" && (!data.execution_id || data.execution_id === id)) refresh();
        },
        opened: refresh,
      });
      return;
    }
    stream = follow(of(id, "stream"), {
      query: () => ({ after: history.last(), output: 1, log_after: output.position || null }),
      hear: (type, data) => {
        if (type === "event") {
          history.take(data);
          refresh();
        } else if (type === "output") output.take(data.lines, data.position);
        else if (type === "status") refresh();
        else if (type === "end") {
          afterEnd();
          return false;
        }
        return true;
      },
      opened: (again) => {
        if (again) refresh();
      },
      failed: (error) => fill(trouble, problem(error)),
    });
  };

  const afterEnd = async () => {
    await refetch();
    if (!closed && !over) connect();
  };

  const showOutput = (bounded) => {
    const at = version();
    return output.show(id, chosen(), at === null ? null : (history.moment(at) ?? ""), bounded);
  };

  const begin = async () => {
    try {
      await fetchNow();
      if (id !== now.execution_id) {
        // What was asked for by the beginning of its id, or as `last`.
        go(link(now.execution_id, place.query), true);
        return;
      }
      await history.load(id);
      if (closed) return;
      fill(node, frame);
      node.removeAttribute("aria-busy");
      await Promise.all([fetchGraph(), version() === null ? show() : showVersion()]);
      if (closed) return;
      await showOutput(goesOn(now.status));
      if (!closed) connect();
    } catch (error) {
      if (closed) return;
      fill(node, el("p", {}, el("a", { href: "#/" }, "‹ Executions")), problem(error));
      node.removeAttribute("aria-busy");
      if (!error.status)
        setTimeout(() => {
          if (!closed) begin();
        }, 1500);
    }
  };

  return {
    node,
    begin,
    update(next) {
      const [before, beforeStep] = [version(), chosen()];
      place = next;
      if (!now) return;
      if (version() !== before) showVersion();
      else show();
      if (version() !== before || chosen() !== beforeStep) showOutput(false);
    },
    serviceKnown: show,
    close() {
      closed = true;
      stream?.close();
      refresh.stop();
      gantt.close();
      output.close();
    },
  };
}
