// What can be done with an execution, each in a dialog that says first what is going to happen.

import { get, of, post } from "./api.js";
import { field, jsonArea, jsonOf, openDialog, problem, tickBox } from "./dialogs.js";
import { el, fill, own } from "./dom.js";
import { go, link } from "./route.js";

const SIGNS = {
  KEEP: ["✓", "completed"],
  RERUN: ["▶", "running"],
  CHANGED: ["≠", "failed"],
  NEW: ["+", "waiting"],
  REMOVED: ["–", "skipped"],
};

const box = (id) => el("input", { type: "checkbox", id });

function planTable(plan) {
  const rows = plan.steps.map((row) => {
    const [sign, tone] = SIGNS[row.action] || ["·", "quiet"];
    return el(
      "tr",
      { "data-action": row.action },
      el("td", { class: `action ${tone} tinted` }, `${sign} ${row.action}`),
      el("th", { scope: "row", class: "id" }, own(row.step)),
      el("td", { class: "note" }, own(row.why)),
    );
  });
  const notes = [
    plan.blocked.length > 0 &&
      el(
        "p",
        { class: "problem", role: "alert" },
        "≠ ",
        `These completed steps have changed: ${plan.blocked.join(", ")}. `,
        "Accept the changes, or begin with one of them.",
      ),
    plan.elsewhere.length > 0 &&
      el(
        "p",
        { class: "note" },
        plan.elsewhere.map((left) => `Files of ${left.steps.join(", ")} are on ${left.host}. `),
      ),
    el(
      "p",
      { class: "note" },
      plan.changed ? "The definition has changed since it ran." : "The definition is unchanged.",
    ),
  ];
  return [el("div", { class: "wide plan" }, el("table", { "aria-label": "Plan" }, el("tbody", {}, rows))), notes];
}

/** Go on with it: the plan first. */
export function resumeDialog(at, done) {
  const from = el(
    "select",
    { id: "from-step" },
    el("option", { value: "" }, "where it stopped"),
    el("option", { value: "*" }, "the very beginning, with every step"),
    at.steps.filter((step) => step.group === "steps").map((step) => el("option", { value: `=${step.id}` }, step.id)),
  );
  const accept = box("accept-changes"),
    recorded = box("recorded");
  const shown = el(
    "div",
    { class: "plan-frame", "aria-live": "polite", "aria-busy": "true" },
    el("p", { class: "quiet" }, "Working out the plan…"),
  );
  let asked = 0;
  const wanted = () => ({
    ...(from.value === "*" ? { skip_completed_steps: false } : {}),
    ...(from.value.startsWith("=") ? { from_step: from.value.slice(1) } : {}),
    ...(accept.checked ? { accept_changes: true } : {}),
    ...(recorded.checked ? { recorded: true } : {}),
  });
  const work = async () => {
    const mine = ++asked;
    shown.setAttribute("aria-busy", "true");
    let found;
    try {
      found = planTable(
        await get(
          of(at.execution_id, "plan"),
          Object.fromEntries(Object.entries(wanted()).map(([name, given]) => [name, String(given)])),
        ),
      );
    } catch (error) {
      found = [problem(error), error.plan && planTable(error.plan)];
    }
    if (mine !== asked) return;
    fill(shown, found);
    shown.removeAttribute("aria-busy");
  };
  for (const control of [from, accept, recorded]) control.addEventListener("change", work);
  work();
  return openDialog({
    title: ["Resume ", own(at.execution_id, { class: "id" })],
    wide: true,
    body: [
      shown,
      field("Begin with", from),
      tickBox("Accept changes", accept, "of completed steps, and keep their old outputs"),
      tickBox("Use the definition as it was recorded", recorded, "instead of the file as it is now"),
    ],
    label: "Resume",
    act: async () => {
      await post(of(at.execution_id, "resume"), wanted());
      done();
    },
  });
}

/** Cancel or pause it, with a reason. */
export function endDialog(what, at, done) {
  const why = el("input", { type: "text", id: "why", autocomplete: "off", maxlength: 500 });
  const cancel = what === "cancel";
  return openDialog({
    title: [cancel ? "Cancel " : "Pause ", own(at.execution_id, { class: "id" })],
    body: [
      el(
        "p",
        {},
        cancel
          ? "Steps that run are stopped, and the handlers of on_cancel and finally run."
          : "Nothing new is started; it can be resumed.",
      ),
      field("Reason", why, "It is recorded in the log."),
    ],
    label: cancel ? "Cancel the execution" : "Pause the execution",
    danger: cancel,
    act: async () => done(await post(of(at.execution_id, what), why.value.trim() ? { why: why.value.trim() } : {})),
  });
}

/** Grant or refuse what a step waits for. */
export function decideDialog(what, at, step, done) {
  const wait = step.waits.at(-1);
  const grant = what === "approve";
  const comment = el("input", { type: "text", id: "comment", autocomplete: "off", maxlength: 1000 });
  const response = jsonArea("{}", 4);
  return openDialog({
    title: [grant ? "Approve " : "Reject ", own(step.id, { class: "id" })],
    body: [
      wait?.message && el("p", { class: "message" }, own(wait.message)),
      wait?.data !== null &&
        wait?.data !== undefined &&
        el("pre", { class: "data", tabindex: "0" }, JSON.stringify(wait.data, null, 2)),
      field("Comment", comment),
      grant && field("Response", response, "A JSON object; it becomes a part of the step's output."),
    ],
    label: grant ? "Approve" : "Reject",
    danger: !grant,
    act: async () => {
      const body = { step: step.id, ...(comment.value.trim() ? { comment: comment.value.trim() } : {}) };
      if (grant) body.response = jsonOf(response, "Response");
      done(await post(of(at.execution_id, what), body));
    },
  });
}

/** Start a new one in the middle of it. */
export function forkDialog(at, chosen) {
  const steps = at.steps.filter((step) => step.group === "steps");
  const begin = chosen || at.failed_steps[0] || steps.find((step) => step.status !== "completed")?.id || steps[0]?.id;
  const from = el(
    "select",
    { id: "fork-from" },
    steps.map((step) => el("option", { value: step.id }, step.id)),
  );
  from.value = begin;
  const inputs = jsonArea("{}", 4),
    name = el("input", { type: "text", id: "fork-id", autocomplete: "off", spellcheck: "false" });
  const accept = box("fork-accept"),
    recorded = box("fork-recorded");
  const given = Object.keys(at.inputs);
  return openDialog({
    title: ["Fork ", own(at.execution_id, { class: "id" })],
    body: [
      el(
        "p",
        { class: "note" },
        "A new execution takes over what was completed before a step, and runs from there. This one stays as it is.",
      ),
      field("First step to run", from),
      field(
        "Other inputs",
        inputs,
        given.length ? `A JSON object; the others stay. There are: ${given.join(", ")}` : "A JSON object.",
      ),
      field("Id", name, "Made up, if it is left empty."),
      tickBox("Accept changes", accept, "of completed steps"),
      tickBox("Use the definition as it was recorded", recorded),
    ],
    label: "Fork",
    act: async () => {
      const made = await post(of(at.execution_id, "fork"), {
        from_step: from.value,
        inputs: jsonOf(inputs, "Inputs"),
        ...(name.value.trim() ? { execution_id: name.value.trim() } : {}),
        ...(accept.checked ? { accept_changes: true } : {}),
        ...(recorded.checked ? { recorded: true } : {}),
      });
      go(link(made.execution_id));
    },
  });
}
