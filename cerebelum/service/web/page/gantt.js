// The steps over time: a row for each, a bar for each attempt, and what it waited for between.

import { Axis } from "./axis.js";
import { clock, day, length, moment, now, setClock, words } from "./display.js";
import { el, fill, svg } from "./dom.js";

const TOP = 38,
  ROW = 24,
  LEAST_BAR = 2,
  MOST_ROWS = 1000,
  MOST_BARS = 200;
const WAITS = ["retrying", "sleeping", "waiting_for_worker", "waiting_for_approval"];
const LEGEND = {
  completed: "✓ completed",
  failed: "✗ failed",
  interrupted: "■ interrupted",
  running: "▶ running",
  retrying: "waits to try again",
  sleeping: "sleeps",
  waiting_for_worker: "waits for a worker",
  waiting_for_approval: "waits for approval",
  cut: "drawn shorter than it was",
};
const MARKS = { failed: "✗ ", interrupted: "■ " };

/** Where in a row a mark begins, and how high it is: what failed stands out without its colour, too. */
const shape = (kind) => (kind === "failed" ? [2, 20] : WAITS.includes(kind) ? [9, 6] : [5, 14]);

const clipped = (name, most) => (name.length <= most ? name : `${name.slice(0, most - 1)}…`);

/** The picture. `choose(step)` is called for the step that somebody chooses. */
export function ganttView(choose) {
  const node = el("div", { class: "gantt-frame" });
  const legend = el("div", { class: "legend" });
  const whole = el("div", { class: "timeline" }, node, legend);
  let line = null,
    timer = null,
    kinds = "";

  const draw = () => {
    if (!line || !node.isConnected || !node.clientWidth) return;
    const width = node.clientWidth;
    const left = width < 560 ? 104 : 190,
      right = width < 560 ? 56 : 90;
    const end = line.going_on ? Math.max(now(), line.end) : line.end;
    const spans = line.spans.map((span) => (span.open ? { ...span, end } : span));
    const tracks = new Map();
    for (const span of spans) tracks.set(span.step, [...(tracks.get(span.step) || []), span]);
    const axis = new Axis(line.began, end, spans, left, width - left - right);
    const rows = [...tracks].slice(0, MOST_ROWS);
    const bottom = TOP + rows.length * ROW;
    fill(
      node,
      svg(
        "svg",
        {
          class: "gantt",
          role: "img",
          "aria-label": `${tracks.size} steps in ${length((end - line.began) / 1000)}`,
          width,
          height: bottom + 6,
          viewBox: `0 0 ${width} ${bottom + 6}`,
        },
        bands(axis, bottom),
        ticks(axis, bottom),
        rows.map(([step, own], index) => row(step, own, TOP + index * ROW, axis, left, width - right)),
        line.going_on && svg("line", { class: "now", x1: axis.x(end), x2: axis.x(end), y1: TOP - 6, y2: bottom }),
      ),
    );
    explain(
      [
        ...Object.keys(LEGEND).filter((kind) => spans.some((span) => span.kind === kind)),
        ...(axis.stretches.some((one) => one.cut) ? ["cut"] : []),
      ],
      tracks.size,
    );
  };

  const row = (step, spans, y, axis, left, right) => {
    const last = spans.at(-1);
    const sum = length(spans.reduce((total, span) => total + span.end - span.begin, 0) / 1000);
    let reach = 0;
    const bars = spans.slice(-MOST_BARS).map((span) => {
      const x = axis.x(span.begin),
        toX = Math.max(axis.x(span.end), x + LEAST_BAR);
      reach = Math.max(reach, toX);
      const [top, height] = shape(span.kind);
      const note = span.note ? `: ${span.note}` : "";
      const long = length((span.end - span.begin) / 1000);
      const told = [
        `${step}, attempt ${span.attempt}: ${words(span.kind)}${note}`,
        `${long}, ${moment(span.begin)} to ${moment(span.end)}`,
      ].join("\n");
      return svg(
        "rect",
        { class: `span ${span.kind}`, x, y: y + top, width: toX - x, height, rx: Math.min(3, (toX - x) / 2) },
        svg("title", {}, told),
      );
    });
    return svg(
      "g",
      { class: "track", "data-step": step, on: { click: () => choose(step) } },
      svg("rect", { class: "back", x: 0, y, width: right + 90, height: ROW }),
      svg("line", { class: "row", x1: left, x2: right, y1: y + ROW, y2: y + ROW }),
      svg(
        "text",
        { class: "name", x: left - 10, y: y + 16 },
        svg("title", {}, step),
        clipped(step, Math.floor((left - 14) / 7.3)),
      ),
      bars,
      svg("text", { class: "took", x: reach + 6, y: y + 16 }, `${MARKS[last.kind] || ""}${sum}`),
    );
  };

  const bands = (axis, bottom) =>
    axis.stretches
      .filter((one) => one.cut)
      .flatMap((one) => {
        const long = length(one.end - one.begin);
        return [
          svg(
            "rect",
            { class: "cut", x: one.x, y: TOP - 6, width: one.toX - one.x, height: bottom - TOP + 6 },
            svg("title", {}, `drawn shorter: ${long}`),
          ),
          svg("text", { class: "tick", x: (one.x + one.toX) / 2, y: 12 }, `⋯ ${long} ⋯`),
        ];
      });

  const ticks = (axis, bottom) => {
    let before = "";
    return axis.ticks().flatMap(({ at, x, step }) => {
      const today = day(at);
      const drawn = [svg("line", { class: "grid", x1: x, x2: x, y1: TOP - 6, y2: bottom })];
      if (today !== before) drawn.push(svg("text", { class: "tick", x, y: 12 }, today));
      before = today;
      if (step < 86400)
        drawn.push(
          svg(
            "text",
            { class: "tick", x, y: 27 },
            step >= 60
              ? clock(at).slice(0, 5)
              : step >= 1
                ? clock(at)
                : `${clock(at)}.${String(Math.round(at % 1000))
                    .padStart(3, "0")
                    .slice(0, step < 0.01 ? 3 : step < 0.1 ? 2 : 1)}`,
          ),
        );
      return drawn;
    });
  };

  const explain = (found, count) => {
    if (found.join() === kinds) return;
    kinds = found.join();
    fill(
      legend,
      found.map((kind) => {
        const [top, height] = shape(kind);
        const sample = svg("rect", {
          class: kind === "cut" ? "cut" : `span ${kind}`,
          x: 1,
          y: top - 4,
          width: 24,
          height,
          rx: 3,
        });
        return el(
          "span",
          {},
          svg("svg", { class: "gantt", width: 26, height: 18, "aria-hidden": "true" }, sample),
          LEGEND[kind],
        );
      }),
      count > MOST_ROWS && el("span", {}, `${count - MOST_ROWS} more steps are not drawn`),
    );
  };

  new ResizeObserver(draw).observe(node);
  return {
    node: whole,
    /** What /timeline tells; of one that goes on, what is open grows by itself. */
    show(told, past) {
      clearInterval(timer);
      const end = Date.parse(told.end);
      const going = told.going_on && !past;
      if (going) setClock(end, true);
      const spans = told.spans.map((span) => ({
        ...span,
        begin: Date.parse(span.begin),
        end: Date.parse(span.end),
        open: going && span.end === told.end && (span.kind === "running" || WAITS.includes(span.kind)),
      }));
      line = { began: Date.parse(told.began), end, going_on: going, spans };
      draw();
      if (going) timer = setInterval(draw, spans.length > 300 ? 5000 : 500);
    },
    close() {
      clearInterval(timer);
    },
  };
}
