// The executions: filters, pages, and rows that change by themselves.

import { get } from "./api.js";
import { problem } from "./dialogs.js";
import { goesOn, length, moment, oneLine, symbol, tick, tone, words } from "./display.js";
import { button, coalesced, el, fill, mark, own, roving, say } from "./dom.js";
import { poolPanel } from "./pool.js";
import { changed, go, link } from "./route.js";
import { follow } from "./stream.js";

const STATUSES = [
  ...["queued", "running", "sleeping", "waiting_for_worker", "waiting_for_approval", "waiting_for_lock"],
  ...["paused", "failed", "cancelled", "completed"],
];
const SINCE = [
  ["", "Any time"],
  ["1h", "Last hour"],
  ["24h", "Last day"],
  ["7d", "Last week"],
  ["30d", "Last month"],
];
const PAGE = 50;

/** A row of the table, which stays the same element for as long as its execution is shown. */
class Row {
  constructor(open) {
    this.status = el("span", {});
    this.link = el("a", { class: "id", tabindex: "-1" });
    this.reason = el("span", { class: "note reason" });
    this.workflow = own("");
    this.bar = el("span", { class: "fill" });
    this.steps = el("span", {});
    this.current = own("");
    this.started = el("time", {});
    this.took = el("td", { role: "gridcell", class: "took" });
    this.tags = el("td", { role: "gridcell", class: "tags" });
    this.node = el(
      "tr",
      { role: "row", tabindex: "-1", on: { click: (event) => this.clicked(event, open) } },
      el("td", { role: "gridcell", class: "state" }, this.status),
      el("th", { role: "rowheader", scope: "row", class: "name" }, this.link, this.reason),
      el("td", { role: "gridcell", class: "flow" }, this.workflow),
      el(
        "td",
        { role: "gridcell", class: "progress" },
        el("span", { class: "track", "aria-hidden": "true" }, this.bar),
        this.steps,
      ),
      el("td", { role: "gridcell", class: "current" }, this.current),
      el("td", { role: "gridcell", class: "when" }, this.started),
      this.took,
      this.tags,
    );
  }

  clicked(event, open) {
    const chosen = getSelection();
    if (event.target.closest("a, button") || event.ctrlKey || event.metaKey || (chosen && String(chosen))) return;
    open(this.row.execution_id);
  }

  update(row, tagLink) {
    if (this.row && JSON.stringify(this.row) === JSON.stringify(row)) return;
    const before = this.row;
    this.row = row;
    mark(this.status, { class: `badge ${tone(row.status)}` });
    say(this.status, `${symbol(row.status)} ${words(row.status)}`);
    say(this.link, row.execution_id);
    mark(this.link, { href: link(row.execution_id) });
    say(this.reason, row.reason && row.status !== "completed" ? oneLine(row.reason, 120) : "");
    say(this.workflow, row.workflow);
    this.bar.style.width = `${row.steps_total ? (100 * row.steps_done) / row.steps_total : 0}%`;
    mark(this.bar, { class: `fill ${tone(row.status)}` });
    say(this.steps, `${row.steps_done}/${row.steps_total}`);
    const [first, ...more] = row.current;
    say(this.current, first === undefined ? "" : first + (more.length ? ` and ${more.length} more` : ""));
    mark(this.current, { title: row.current.join(", ") || null });
    mark(this.started, { datetime: row.started_at, "data-ago": row.started_at, title: moment(row.started_at) });
    const running = goesOn(row.status);
    const end = row.ended_at || row.updated_at;
    fill(
      this.took,
      running
        ? el("time", { "data-since": row.started_at })
        : row.ended_at || row.status === "paused"
          ? length((Date.parse(end) - Date.parse(row.started_at)) / 1000)
          : "",
    );
    fill(
      this.tags,
      row.tags.map((tag) =>
        el("a", { class: "tag", href: tagLink(tag), tabindex: "-1", title: `only with tag ${tag}` }, own(tag)),
      ),
    );
    if (before && before.status !== row.status) {
      this.node.classList.remove("news");
      void this.node.offsetWidth;
      this.node.classList.add("news");
    }
  }
}

/** The view of the list. */
export function listView(shell, first) {
  let place = first;
  let page = null;
  let names = [];
  let abort = null;
  const rows = new Map();
  const open = (id) => {
    go(link(id));
    history.replaceState({ fromList: true }, "");
  };

  // -- the filters --

  const chips = STATUSES.map((status) =>
    el(
      "button",
      { type: "button", class: `chip ${tone(status)}`, "data-status": status, on: { click: () => toggle(status) } },
      el("span", { "aria-hidden": "true" }, symbol(status)),
      ` ${words(status)}`,
    ),
  );
  const id = el("input", {
    type: "search",
    id: "search",
    placeholder: "Find an id…  /",
    "aria-label": "Ids that begin with",
    autocomplete: "off",
    spellcheck: "false",
  });
  const flow = el("select", { "aria-label": "Workflow" });
  const tag = el("input", {
    type: "search",
    class: "short",
    placeholder: "Tag",
    "aria-label": "Tag",
    autocomplete: "off",
    spellcheck: "false",
  });
  const since = el("select", { "aria-label": "Started" });
  const clear = button("Clear", () => go("#/"), { class: "plain-button" });

  const set = (values, replace) => go(changed(place, { page: null, ...values }), replace);
  const chosen = () => (place.query.get("status") || "").split(",").filter(Boolean);
  const toggle = (status) => {
    const now = new Set(chosen());
    if (!now.delete(status)) now.add(status);
    set({ status: STATUSES.filter((one) => now.has(one)).join(",") });
  };
  const typed = coalesced(() => set({ id: id.value.trim(), tag: tag.value.trim() }, true), 250);
  id.addEventListener("input", typed);
  tag.addEventListener("input", typed);
  flow.addEventListener("change", () => set({ workflow: flow.value }));
  since.addEventListener("change", () => set({ since: since.value }));
  id.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === "ArrowDown") {
      event.preventDefault();
      move.choose(body.firstElementChild);
    }
  });

  const options = (select, given, current) => {
    const known = given.some(([one]) => one === current) || !current ? given : [...given, [current, current]];
    fill(
      select,
      known.map(([one, label]) => el("option", { value: one }, label)),
    );
    select.value = current;
  };

  const showFilters = () => {
    const now = chosen();
    for (const chip of chips) mark(chip, { "aria-pressed": now.includes(chip.dataset.status) });
    for (const [input, name] of [
      [id, "id"],
      [tag, "tag"],
    ]) {
      const text = place.query.get(name) || "";
      if (document.activeElement !== input && input.value !== text) input.value = text;
    }
    options(flow, [["", "All workflows"], ...names.map((name) => [name, name])], place.query.get("workflow") || "");
    options(since, SINCE, place.query.get("since") || "");
    clear.hidden = !["status", "id", "tag", "workflow", "since"].some((name) => place.query.get(name));
  };

  // -- the table --

  const heads = ["Status", "Execution", "Workflow", "Steps", "Now", "Started", "Took", "Tags"];
  const body = el("tbody", { role: "rowgroup" });
  const table = el(
    "table",
    { role: "grid", class: "executions", "aria-label": "Executions", "aria-busy": "true" },
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
  );
  const note = el("div", { class: "empty" }, "Loading…");
  const count = el("span", { role: "status" });
  const newer = button("‹ Newer", () => set({ page: number() > 2 ? number() - 1 : null }));
  const older = button("Older ›", () => set({ page: number() + 1 }));
  const number = () => Math.max(1, Number.parseInt(place.query.get("page"), 10) || 1);
  const move = roving(
    body,
    () => [...body.children],
    (row) => open(row.dataset.id),
  );

  const showPage = () => {
    const gone = new Set(rows.keys());
    let previous = null;
    for (const row of page.executions) {
      const key = row.execution_id;
      gone.delete(key);
      let found = rows.get(key);
      if (!found) {
        rows.set(key, (found = new Row(open)));
        found.node.dataset.id = key;
      }
      found.update(row, (one) => changed(place, { page: null, tag: one }));
      // What stays where it is keeps its focus.
      const where = previous ? previous.nextSibling : body.firstChild;
      if (where !== found.node) body.insertBefore(found.node, where);
      previous = found.node;
    }
    for (const key of gone) {
      rows.get(key).node.remove();
      rows.delete(key);
    }
    move.settle();
    tick(body);
    const from = page.offset + 1,
      to = page.offset + page.executions.length;
    const total =
      page.total === null ? "" : ` of ${page.total.toLocaleString("en")}${page.total_is_exact ? "" : " or more"}`;
    say(count, page.executions.length ? `${from.toLocaleString("en")}–${to.toLocaleString("en")}${total}` : "");
    newer.disabled = number() === 1;
    older.disabled = !page.has_more;
    foot.hidden = !page.executions.length && number() === 1;
    mark(table, { "aria-busy": null });
    table.hidden = !page.executions.length;
    fill(note);
    note.hidden = Boolean(page.executions.length);
    if (!page.executions.length) {
      fill(
        note,
        clear.hidden && number() === 1
          ? [
              el("strong", {}, "Nothing has been run yet."),
              el(
                "p",
                {},
                "Executions show up here as soon as they are started: ",
                el("code", {}, "cerebelum run FILE"),
              ),
            ]
          : [
              el("strong", {}, "Nothing matches."),
              el(
                "p",
                {},
                button("Clear the filters", () => go("#/")),
              ),
            ],
      );
    }
  };

  const load = async () => {
    abort?.abort();
    const mine = (abort = new AbortController());
    const { query } = place;
    try {
      const found = await get(
        "api/v1/executions",
        {
          status: chosen().join(","),
          workflow: query.get("workflow"),
          tag: query.getAll("tag"),
          since: query.get("since"),
          id_prefix: query.get("id"),
          limit: PAGE,
          offset: (number() - 1) * PAGE,
        },
        mine.signal,
      );
      if (abort !== mine) return;
      page = found;
      showPage();
      if (begins && shell.opened) {
        const row = rows.get(shell.opened);
        if (row && document.activeElement === document.body) move.choose(row.node);
      }
      begins = false;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (page === null || error.status) {
        table.hidden = foot.hidden = true;
        note.hidden = false;
        fill(note, problem(error));
      }
    }
  };
  let begins = true;
  const again = coalesced(() => Promise.all([load(), pool.load()]), 600);

  const learnNames = async () => {
    try {
      const { workflows } = await get("api/v1/workflows");
      names = workflows.map((one) => one.name).sort();
      showFilters();
    } catch {
      // The list works without.
    }
  };

  const pool = poolPanel();
  const foot = el("nav", { class: "pages", "aria-label": "Pages", hidden: true }, newer, count, older);
  const node = el(
    "div",
    { class: "list" },
    el("h1", { class: "sr" }, "Executions"),
    el(
      "section",
      { class: "filters", role: "search", "aria-label": "Filters" },
      el("div", { class: "chips", role: "group", "aria-label": "Status" }, chips),
      el("div", { class: "fields" }, id, flow, tag, since, clear),
    ),
    el("div", { class: "card" }, table, note),
    foot,
    pool.node,
  );
  table.hidden = true;

  showFilters();
  shell.title("Executions");
  let stream = null;
  return {
    node,
    begin() {
      load();
      pool.load();
      learnNames();
      stream = follow("api/v1/stream", {
        hear: (type) => {
          if (type === "change") again();
        },
        // The list may be older than the stream.
        opened: (reopened) => {
          setTimeout(again, reopened ? 0 : 1000);
          if (reopened) learnNames();
        },
      });
    },
    update(next) {
      place = next;
      showFilters();
      load();
    },
    search() {
      id.focus();
      id.select();
    },
    move: (by) => move.move(by),
    close() {
      stream?.close();
      abort?.abort();
      again.stop();
      typed.stop();
    },
  };
}
