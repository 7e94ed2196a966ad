// The head of an execution: how it stands, who started it where, and what can be done with it.

import { goesOn, length, moment, oneLine, symbol, tick, tone, value, words } from "./display.js";
import { button, el, fill, own } from "./dom.js";
import { link } from "./route.js";

const resumable = (status) => ["failed", "cancelled", "paused"].includes(status);

/** The buttons that make sense: `acts` has what each does. */
function buttons(at, acts) {
  const waits = at.status === "waiting_for_approval";
  return [
    resumable(at.status) && button("Resume…", acts.resume, { class: "primary", id: "resume" }),
    goesOn(at.status) && button("Pause…", acts.pause, { id: "pause" }),
    (goesOn(at.status) || at.status === "paused") &&
      button("Cancel…", acts.cancel, { id: "cancel", class: waits ? "" : "quiet-danger" }),
    at.steps.length > 0 && button("Fork…", acts.fork, { id: "fork" }),
  ];
}

function facts(at, started, past) {
  const where = at.environment,
    { owner } = at;
  const user = `${where.user || "?"}@${where.host}`;
  const end = at.ended_at || (past || at.status === "paused" ? at.updated_at : null);
  const took = end
    ? length((Date.parse(end) - Date.parse(at.started_at)) / 1000)
    : [el("time", { "data-since": at.started_at }), " so far"];
  return [
    ["Workflow", [own(at.workflow), " ", el("span", { class: "note id" }, own(at.source.path))]],
    [
      "Started",
      [
        el("time", { datetime: at.started_at, title: at.started_at }, moment(at.started_at)),
        " ",
        el("span", { class: "note" }, el("time", { "data-ago": at.started_at })),
      ],
    ],
    at.scheduled_for && ["Scheduled for", moment(at.scheduled_for)],
    ["Took", took],
    ["Steps", `${at.steps_done} of ${at.steps_total} done`],
    at.resumes > 0 && ["Resumed", `${at.resumes} time${at.resumes > 1 ? "s" : ""}`],
    [
      "By",
      [own(started?.by || user), started?.by && started.by !== user && el("span", { class: "note" }, ` as ${user}`)],
    ],
    owner && ["Runner", `process ${owner.pid ?? "?"} on ${owner.host ?? "?"}`],
    at.due_at && ["Due", moment(at.due_at)],
    at.parent && ["Fork of", el("a", { class: "id", href: link(at.parent) }, own(at.parent))],
    at.correlation_id && ["Correlation", el("span", { class: "id" }, own(at.correlation_id))],
    at.tags.length > 0 && [
      "Tags",
      at.tags.map((tag) => el("a", { class: "tag", href: link(null, { tag }) }, own(tag))),
    ],
    ["Folder", el("span", { class: "id" }, own(where.cwd))],
    where.git_commit && ["Commit", el("span", { class: "id" }, own(where.git_commit.slice(0, 12)))],
    Object.keys(at.inputs).length > 0 && [
      "Inputs",
      [
        ...Object.entries(at.inputs)
          .slice(0, 5)
          .map(([name, given]) => [el("code", {}, own(oneLine(`${name}=${value(given)}`, 60))), " "]),
        Object.keys(at.inputs).length > 5 && "…",
      ],
    ],
  ].filter(Boolean);
}

/** The head; `acts` has what the buttons do. */
export function headView(acts) {
  const badge = el("span", { class: "badge big", role: "status", id: "status" });
  const name = el("span", { class: "id" }),
    why = el("p", { class: "quiet reason" });
  const choices = el("div", { class: "choices", role: "group", "aria-label": "Actions" });
  const list = el("dl", { class: "facts" });
  const asks = el("div", { class: "asks" });
  let before = "",
    buttonsBefore = "",
    asksBefore = "";
  const node = el(
    "header",
    { class: "head" },
    el(
      "nav",
      { class: "crumbs", "aria-label": "Where you are" },
      el("a", { href: "#/", on: { click: acts.back } }, "‹ Executions"),
    ),
    el("div", { class: "title" }, el("h1", {}, name, " ", badge), choices),
    why,
    list,
  );

  return {
    node,
    asks,
    /** How it stands; `past` if that was so at an earlier version. */
    show(at, started, { past, readOnly }) {
      const key = JSON.stringify([
        at.status,
        at.reason,
        facts(at, started, past).map(([, what]) =>
          what instanceof Node
            ? what.textContent
            : [what]
                .flat(2)
                .map((one) => one?.textContent ?? one)
                .join(),
        ),
      ]);
      if (key !== before) {
        before = key;
        fill(name, own(at.execution_id));
        badge.className = `badge big ${tone(at.status)}`;
        fill(badge, `${symbol(at.status)} ${words(at.status)}`);
        fill(why, at.reason && at.status !== "completed" ? own(oneLine(at.reason)) : "");
        why.hidden = !why.textContent;
        fill(
          list,
          facts(at, started, past).map(([term, what]) => el("div", {}, el("dt", {}, term), el("dd", {}, what))),
        );
        tick(list);
      }
      const possible = past || readOnly ? [] : buttons(at, acts).filter(Boolean);
      const names = possible.map((one) => one.id).join();
      if (names !== buttonsBefore || !choices.children.length) {
        buttonsBefore = names;
        fill(choices, possible);
        choices.hidden = !possible.length;
      }
      this.ask(at, past || readOnly);
    },
    /** The approvals that steps wait for. */
    ask(at, dumb) {
      const waiting = at.steps.filter((step) => step.status === "waiting_for_approval");
      const key = JSON.stringify([dumb, waiting]);
      if (key === asksBefore) return;
      asksBefore = key;
      fill(
        asks,
        waiting.map((step) => {
          const wait = step.waits.at(-1);
          return el(
            "section",
            { class: "panel approval", "aria-label": `Approval of ${step.id}` },
            el(
              "div",
              { class: "approval-text" },
              el("h2", {}, el("span", { class: "waiting tinted" }, "‖ "), own(step.id), " waits for approval"),
              wait?.message && el("p", { class: "message" }, own(wait.message)),
              wait?.due_at && el("p", { class: "note" }, `until ${moment(wait.due_at)}`),
              wait?.data !== null &&
                wait?.data !== undefined &&
                el("pre", { class: "data" }, JSON.stringify(wait.data, null, 2)),
            ),
            !dumb &&
              el(
                "div",
                { class: "choices" },
                button("Approve…", () => acts.approve(step), { class: "primary", "data-approve": step.id }),
                button("Reject…", () => acts.reject(step), { class: "quiet-danger", "data-reject": step.id }),
              ),
          );
        }),
      );
    },
  };
}
