// The steps as a table, the one that is chosen in full, and what went in and came out.

import { length, moment, oneLine, symbol, tone, value, words } from "./display.js";
import { el, fill, mark, own, roving } from "./dom.js";

const MOST_VALUE = 20_000;

/** A value as somebody reads it. */
export function pretty(given) {
  const text = typeof given === "string" ? given : JSON.stringify(given, null, 2);
  return text.length <= MOST_VALUE ? text : `${text.slice(0, MOST_VALUE)}…`;
}

const NOTES = {
  waiting_for_worker: ({ handed_over: over }) =>
    over &&
    [
      `queue ${over.queue}`,
      over.labels.join(", "),
      over.workers === 0 ? "which no worker serves" : over.able === 0 ? "no worker has the labels" : "",
    ]
      .filter(Boolean)
      .join(", "),
  on_worker: (step) => `on ${step.host}${step.handed_over?.worker_lost ? ", whose worker is gone" : ""}`,
  retrying: (step) => step.retry_at && `tries again at ${moment(step.retry_at)}`,
  skipped: (step) =>
    [words(step.skipped?.why || step.skipped?.reason || ""), step.skipped?.detail].filter(Boolean).join(": "),
  interrupted: (step) => (step.interrupted ? words(step.interrupted) : ""),
};

/** What the other columns do not say. */
export function noteOf(step) {
  const last = step.waits?.at(-1);
  const waits =
    last && !last.result
      ? last.kind === "sleep"
        ? `sleeps until ${moment(last.due_at)}`
        : `asks: ${last.message || "approve?"}`
      : "";
  const decided = (step.waits || [])
    .filter((wait) => wait.kind === "approval" && wait.result && wait.result !== "timed_out")
    .map((wait) => {
      const comment = wait.comment ? `: ${wait.comment}` : "";
      return `${wait.result === "granted" ? "approved" : "rejected"} by ${wait.by}${comment}`;
    });
  const failed = step.error && step.status !== "completed" ? step.error.message : "";
  return [failed, NOTES[step.status]?.(step), waits, ...decided, step.verified && "verified after an interruption"]
    .filter(Boolean)
    .map((part) => oneLine(part))
    .join("; ");
}

/** The table. `choose(step)` is called for the step that somebody chooses. */
export function stepsView(choose) {
  const body = el("tbody", { role: "rowgroup" });
  const heads = ["Step", "State", "Attempts", "Took", "Output", "Note"];
  const panel = el(
    "section",
    { class: "panel steps", "aria-label": "Steps" },
    el("div", { class: "panel-head" }, el("h2", {}, "Steps")),
    el(
      "div",
      { class: "wide" },
      el(
        "table",
        { role: "grid", "aria-label": "Steps" },
        el(
          "thead",
          { role: "rowgroup" },
          el(
            "tr",
            { role: "row" },
            heads.map((head) => el("th", { role: "columnheader", scope: "col" }, head)),
          ),
        ),
        body,
      ),
    ),
  );
  const items = () => [...body.querySelectorAll("tr[data-step]")];
  const rover = roving(body, items, (row) => choose(row.dataset.step));
  const rows = new Map();

  /** The row of a step; the same as before where nothing has changed. */
  const kept = (step, hosts) => {
    const key = JSON.stringify([step, hosts]);
    if (rows.get(step.id)?.key !== key) rows.set(step.id, { key, node: rowOf(step, hosts) });
    return rows.get(step.id).node;
  };

  const rowOf = (step, hosts) =>
    el(
      "tr",
      {
        role: "row",
        tabindex: -1,
        "data-step": step.id,
        "data-status": step.status,
        on: { click: () => !String(getSelection()) && choose(step.id) },
      },
      el(
        "th",
        { role: "rowheader", scope: "row" },
        own(step.id, { class: "id" }),
        step.description && el("span", { class: "note about" }, own(oneLine(step.description))),
        hosts && step.host && el("span", { class: "note about" }, `on ${step.host}`),
      ),
      el(
        "td",
        { role: "gridcell", class: `fact ${tone(step.status)} tinted` },
        `${symbol(step.status)} ${words(step.status)}`,
      ),
      el("td", { role: "gridcell", class: "fact number" }, step.attempt || ""),
      el(
        "td",
        { role: "gridcell", class: "fact number" },
        (step.total_duration ?? step.duration) === null ? "" : length(step.total_duration ?? step.duration),
      ),
      el(
        "td",
        { role: "gridcell", class: "own" },
        step.output !== null && el("code", {}, own(oneLine(value(step.output), 160))),
      ),
      el("td", { role: "gridcell", class: "own" }, own(noteOf(step))),
    );

  const headingOf = (group) =>
    el(
      "tr",
      { role: "row" },
      el("th", { role: "rowheader", class: "group", colspan: heads.length, scope: "rowgroup" }, group),
    );

  return {
    panel,
    /** How the steps stand. */
    show(steps, chosen) {
      const focused = document.activeElement?.dataset?.step;
      const within = body.contains(document.activeElement);
      const hosts = new Set(steps.map((step) => step.host).filter(Boolean)).size > 1;
      let group = "steps";
      const wanted = steps.flatMap((step) => {
        if (step.group !== group && !rows.has(`of ${step.group}`))
          rows.set(`of ${step.group}`, { node: headingOf(step.group) });
        const heading = step.group === group ? [] : [rows.get(`of ${step.group}`).node];
        group = step.group;
        return [...heading, mark(kept(step, hosts), { "aria-selected": step.id === chosen })];
      });
      if (wanted.length === body.children.length && wanted.every((row, at) => row === body.children[at])) return;
      fill(body, wanted);
      rover.settle();
      if (within) rover.choose(items().find((row) => row.dataset.step === focused));
    },
  };
}

/** A panel with one value, that somebody can fold. */
export function valuePanel(title, given, open = true) {
  return el(
    "details",
    { class: "panel value", open },
    el("summary", {}, el("h2", {}, title)),
    el("pre", { tabindex: "0" }, pretty(given)),
  );
}

/** What went wrong, in full. */
export function errorPanel(title, error, more = "") {
  return el(
    "section",
    { class: "panel error", "aria-label": `Error of ${title}` },
    el(
      "h2",
      {},
      el("span", { class: "failed tinted" }, "✗ "),
      own(title),
      more && el("span", { class: "note" }, ` ${more}`),
    ),
    el(
      "p",
      {},
      error.kind &&
        error.kind !== "exit" &&
        error.kind !== "step_failed" &&
        el("span", { class: "kind" }, words(error.kind)),
      own(error.message),
    ),
    error.tail &&
      el("pre", { tabindex: "0", "aria-label": "The last lines of output" }, error.tail.replace(/\n+$/, "")),
    error.traceback &&
      el(
        "details",
        { open: !error.tail },
        el("summary", {}, "Traceback"),
        el("pre", { tabindex: "0" }, error.traceback),
      ),
  );
}
