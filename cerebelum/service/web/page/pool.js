// The queues and the workers of the pool, below the list; nothing where the store has none.

import { get } from "./api.js";
import { coarse, tick } from "./display.js";
import { el, fill, own } from "./dom.js";
import { link } from "./route.js";

const head = (...names) =>
  el("thead", {}, el("tr", {}, names.map((name) => el("th", { scope: "col" }, name))));

function queueRow(queue) {
  const serving = queue.workers || el("strong", {}, "nobody");
  const oldest = queue.oldest_seconds === null ? "" : coarse(queue.oldest_seconds);
  const cells = [serving, queue.waiting, oldest, queue.later, queue.taken];
  return el("tr", {}, el("th", { scope: "row" }, own(queue.queue)), cells.map((cell) => el("td", {}, cell)));
}

function workerRow(worker) {
  const state = worker.alive ? (worker.draining ? "draining" : "at work") : "dead";
  const drives = worker.executions.map((id) => [el("a", { href: link(id) }, own(id)), " "]);
  const since = el("time", { datetime: worker.since, "data-ago": worker.since });
  const names = [own(`${worker.host}:${worker.pid}`), own(worker.queues.join(", ")), own(worker.labels.join(", "))];
  const cells = [...names, `${state}, ${worker.executions.length} of ${worker.concurrency}`, since, drives];
  return el("tr", {}, el("th", { scope: "row" }, own(worker.id)), cells.map((cell) => el("td", {}, cell)));
}

/** The panel, and what brings it up to date. */
export function poolPanel() {
  const node = el("section", { class: "pool", "aria-label": "Pool", hidden: true });
  const load = async () => {
    let found;
    try {
      found = await get("api/v1/pool");
    } catch {
      // The list works without.
      return;
    }
    node.hidden = !found.queues.length && !found.workers.length;
    if (node.hidden) return;
    fill(node, [
      el("h2", {}, "Queues"),
      el(
        "table",
        { class: "queues" },
        head("Queue", "Workers", "Waiting", "Oldest", "Later", "Taken"),
        el("tbody", {}, found.queues.map(queueRow)),
      ),
      el("h2", {}, "Workers"),
      el(
        "table",
        { class: "workers" },
        head("Worker", "Where", "Queues", "Labels", "State", "Since", "Drives"),
        el("tbody", {}, found.workers.map(workerRow)),
      ),
    ]);
    tick(node);
  };
  return { node, load };
}
