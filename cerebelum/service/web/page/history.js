// What happened, event by event, and the slider with which somebody goes back to see how things stood then.

import { get, of } from "./api.js";
import { clock, length, moment, oneLine, symbol, tone, value, words } from "./display.js";
import { button, el, fill, mark, own, roving } from "./dom.js";

const MOST_SHOWN = 300,
  MORE = 1000;

const DONE = {
  ExecutionStarted: ["running", "started"],
  ExecutionResumed: ["running", "resumed"],
  LockAwaited: ["waiting_for_lock", "waits for the lock"],
  LockAcquired: ["running", "has the lock"],
  StepStarted: ["running", "began"],
  StepHandedOver: ["waiting_for_worker", "waits for a worker"],
  StepTaken: ["running", "was taken by a worker"],
  StepReported: ["running", "was reported on"],
  StepCompleted: ["completed", "completed"],
  StepFailed: ["failed", "failed"],
  StepInterrupted: ["interrupted", "was interrupted"],
  StepSkipped: ["skipped", "was skipped"],
  SleepStarted: ["sleeping", "sleeps"],
  SleepCompleted: ["running", "woke up"],
  ApprovalRequested: ["waiting_for_approval", "asks for approval"],
  ApprovalGranted: ["completed", "was approved"],
  ApprovalRejected: ["failed", "was rejected"],
  ApprovalTimedOut: ["failed", "was not approved in time"],
  PauseRequested: ["paused", "is to be paused"],
  CancelRequested: ["cancelled", "is to be cancelled"],
  ExecutionPaused: ["paused", "paused"],
  ExecutionCancelled: ["cancelled", "cancelled"],
  ExecutionFailed: ["failed", "failed"],
  ExecutionCompleted: ["completed", "completed"],
};

/** What an event says besides its name. */
function details(event) {
  const who = event.by ? `by ${event.by}` : "";
  switch (event.type) {
    case "ExecutionStarted": {
      const inputs = Object.entries(event.inputs || {}).map(([name, given]) => `${name}=${value(given)}`);
      return [
        who || (event.environment?.user && `by ${event.environment.user}@${event.environment.host}`),
        event.parent && `fork of ${event.parent}`,
        ...inputs,
      ];
    }
    case "ExecutionResumed":
      return [
        who || (event.environment?.user && `by ${event.environment.user}@${event.environment.host}`),
        event.reason !== "manual" && event.reason,
        event.from_step && `from ${event.from_step}`,
      ];
    case "StepStarted":
      return [event.attempt > 1 && `attempt ${event.attempt}`];
    case "StepHandedOver":
      return [`queue ${event.queue}`, event.labels?.join(", "), event.attempt > 1 && `attempt ${event.attempt}`];
    case "StepTaken":
      return [`on ${event.host}`, event.attempt > 1 && `attempt ${event.attempt}`];
    case "StepReported":
      return [`on ${event.host}`, words(event.outcome), event.refused && `counts for nothing: ${event.refused}`];
    case "StepCompleted":
      return [
        event.duration !== undefined && length(event.duration),
        event.output !== undefined && event.output !== null && value(event.output),
      ];
    case "StepFailed":
      return [
        event.error.message,
        event.attempt > 1 && `attempt ${event.attempt}`,
        event.retry_at && `tried again at ${clock(event.retry_at)}`,
        event.diverted && `leads to: ${event.diverted}`,
      ];
    case "StepInterrupted":
      return [words(event.why)];
    case "StepSkipped":
      return [words(event.why), event.detail];
    case "SleepStarted":
      return [`until ${moment(event.until)}`];
    case "ApprovalRequested":
      return [event.message, event.expires_at && `until ${moment(event.expires_at)}`];
    case "ExecutionFailed":
      return [event.error?.message];
    case "ExecutionCompleted":
      return [event.output !== undefined && event.output !== null && value(event.output)];
    default:
      return [who, event.why, event.comment, event.signal];
  }
}

const told = (event) =>
  details(event)
    .filter(Boolean)
    .map((part) => oneLine(part, 160))
    .join(" · ");

/** The slider and the list. `travel(version)` goes to a version, or to what is now with null. */
export function historyView(travel) {
  const events = [];
  let id = null,
    at = null,
    from = 0,
    pending = null;

  const slider = el("input", { type: "range", min: 0, max: 0, step: 1, id: "travel", "aria-label": "Version" });
  const label = el("output", { class: "moment", for: "travel" });
  const back = button("‹", () => step(-1), {
    class: "icon",
    "aria-label": "A version earlier",
    title: "A version earlier",
  });
  const on = button("›", () => step(1), { class: "icon", "aria-label": "A version later", title: "A version later" });
  const live = button("Live", () => travel(null), { class: "live-button", id: "back-to-live" });
  const bar = el("section", { class: "travel", "aria-label": "Time travel" }, back, slider, on, label, live);

  const body = el("tbody", { role: "rowgroup" });
  const earlier = button(
    "Earlier events",
    () => {
      from = Math.max(0, from - MORE);
      list();
    },
    { class: "earlier", hidden: true },
  );
  const panel = el(
    "section",
    { class: "panel history", "aria-label": "Events" },
    el(
      "div",
      { class: "panel-head" },
      el("h2", {}, "Events"),
      el("span", { class: "note" }, "choose one to see how things stood after it"),
    ),
    el(
      "div",
      { class: "history-frame" },
      earlier,
      el("table", { role: "grid", class: "events", "aria-label": "Events" }, body),
    ),
  );
  const rover = roving(
    body,
    () => [...body.children],
    (row) => travel(Number(row.dataset.version)),
  );

  const last = () => events.at(-1)?.version ?? 0;
  const step = (by) => travel(Math.min(Math.max((at ?? last()) + by, 0), last()));
  slider.addEventListener("input", () => {
    showLabel(Number(slider.value));
    clearTimeout(pending);
    pending = setTimeout(() => travel(Number(slider.value)), 60);
  });

  const showLabel = (version) => {
    const event = events[version - 1];
    const what = event ? `${event.step ?? ""} ${DONE[event.type]?.[1] ?? event.type}`.trim() : "before it was started";
    fill(
      label,
      el("span", { class: "version" }, `${version} of ${last()}`),
      el("span", { class: "what" }, own(what)),
      event && el("time", { datetime: event.at, title: moment(event.at) }, clock(event.at)),
    );
    mark(slider, { "aria-valuetext": `version ${version} of ${last()}: ${what}` });
  };

  const show = () => {
    slider.max = last();
    const value = Math.min(at ?? last(), last());
    if (Number(slider.value) !== value && document.activeElement !== slider) slider.value = value;
    if (at === null || Number(slider.value) === value) {
      slider.value = value;
      showLabel(value);
    }
    bar.classList.toggle("past", at !== null);
    live.disabled = at === null;
    back.disabled = value <= 0;
    on.disabled = value >= last();
    for (const row of body.children) {
      const version = Number(row.dataset.version);
      mark(row, {
        "aria-current": version === value && at !== null ? "true" : null,
        class: at !== null && version > at ? "future" : null,
      });
    }
  };

  const rowOf = (event) => {
    const [status, what] = DONE[event.type] ?? ["pending", event.type];
    return el(
      "tr",
      { role: "row", tabindex: -1, "data-version": event.version, on: { click: () => travel(event.version) } },
      el("td", { role: "gridcell", class: "number" }, event.version),
      el(
        "td",
        { role: "gridcell", class: "when" },
        el("time", { datetime: event.at, title: moment(event.at) }, clock(event.at)),
      ),
      el("td", { role: "gridcell", class: `sign ${tone(status)}`, "aria-hidden": "true" }, symbol(status)),
      el(
        "td",
        { role: "gridcell", class: "what" },
        event.step !== undefined && [own(event.step, { class: "id" }), " "],
        el("span", {}, what),
      ),
      el("td", { role: "gridcell", class: "details" }, own(told(event))),
    );
  };

  const list = () => {
    fill(body, events.slice(from).map(rowOf));
    earlier.hidden = from === 0;
    rover.settle();
    show();
  };

  return {
    bar,
    panel,
    /** Read all events of an execution. */
    async load(newId) {
      id = newId;
      for (;;) {
        const found = await get(of(id, "events"), { after: last(), limit: 1000 });
        for (const event of found.events) if (event.version === last() + 1) events.push(event);
        if (!found.has_more) break;
      }
      from = Math.max(0, events.length - MOST_SHOWN);
      list();
    },
    /** One event more, as the stream brought it; those that are known already are passed over. */
    take(event) {
      if (event.version !== last() + 1) return;
      events.push(event);
      body.append(rowOf(event));
      const frame = body.closest(".history-frame");
      if (frame.scrollHeight - frame.scrollTop - frame.clientHeight < 80) frame.scrollTop = frame.scrollHeight;
      rover.settle();
      show();
    },
    /** Show where somebody is in time. */
    at(version) {
      at = version;
      show();
    },
    last,
    /** When a version was recorded. */
    moment: (version) => events[version - 1]?.at ?? null,
    first: () => events[0] ?? null,
  };
}
