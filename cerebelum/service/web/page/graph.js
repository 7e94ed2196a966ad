// The steps as a graph: drawn once, and coloured as they go.

import { length, now, oneLine, symbol, tone, words } from "./display.js";
import { el, fill, mark, roving, say, svg } from "./dom.js";
import { layered, rowsOf } from "./layers.js";

const BOX = 44,
  MARGIN = 16,
  LABEL = 22,
  COLUMN = 7.3,
  SMALL_COLUMN = 6.7,
  LEAST = 152,
  MOST_COLUMNS = 28;
const GROUPS = ["steps", "on_failure", "on_success", "on_cancel", "finally"];

const clipped = (text) => (text.length <= MOST_COLUMNS ? text : `${text.slice(0, MOST_COLUMNS - 1)}…`);

/** A line through its points that leaves and reaches each of them upright. */
function curve(line) {
  let drawn = `M${line[0][0]} ${line[0][1]}`;
  for (let at = 1; at < line.length; at++) {
    const [x, y] = line[at - 1],
      [toX, toY] = line[at],
      half = (y + toY) / 2;
    drawn += Math.abs(x - toX) < 0.5 ? `L${toX} ${toY}` : `C${x} ${half} ${toX} ${half} ${toX} ${toY}`;
  }
  return drawn;
}

const head = ([x, y]) => `M${x} ${y}L${x - 4} ${y - 7}L${x + 4} ${y - 7}Z`;

/** How a step stands, in a few words. */
export function stands(step) {
  const { status } = step;
  const word = status === "waiting_for_approval" ? "waits for approval" : words(status);
  let long = null;
  if (status === "completed" || status === "failed" || status === "interrupted")
    long = step.total_duration ?? step.duration;
  else if (status === "running" && step.started_at && !step.past)
    long = Math.max(0, Math.floor((now() - Date.parse(step.started_at)) / 1000));
  if (status === "completed" && step.total_duration === null && step.duration === null)
    return `${symbol(status)} taken over`;
  return `${symbol(status)} ${word}${long === null ? "" : ` ${length(long)}`}`;
}

/** The picture. `choose(step)` is called for the step that somebody chooses. */
export function graphView(choose) {
  const node = el("div", { class: "graph" });
  let given = null,
    drawnFor = "",
    boxes = new Map(),
    states = new Map(),
    chosen = null,
    timer = 0;
  const rover = roving(
    node,
    () => [...boxes.values()].map((box) => box.group),
    (group) => choose(group.dataset.step),
  );

  const draw = () => {
    const room = Math.max(node.clientWidth - 2 * MARGIN - 4, 200);
    const key = `${room} ${JSON.stringify(given)}`;
    if (!given || key === drawnFor || !node.isConnected) return;
    drawnFor = key;
    boxes = new Map();
    const parts = placed(given, room);
    const width = Math.max(...parts.map((part) => part.x + part.room)) + MARGIN;
    const height = Math.max(...parts.map((part) => part.y + part.drawing.height)) + 2 * MARGIN;
    const order = given.map((step) => step.id);
    fill(
      node,
      svg(
        "svg",
        {
          class: "steps-graph",
          role: "group",
          "aria-label": `${given.length} steps`,
          width,
          height,
          viewBox: `0 0 ${width} ${height}`,
        },
        parts.map((part) => partOf(part)),
      ),
    );
    boxes = new Map(order.filter((id) => boxes.has(id)).map((id) => [id, boxes.get(id)]));
    paint();
    rover.settle();
  };

  const partOf = (part) => {
    const { drawing } = part;
    const framed = part.group !== "steps";
    return svg(
      "g",
      { transform: `translate(${part.x} ${part.y})` },
      framed && [
        svg("rect", {
          class: "frame",
          x: -MARGIN,
          y: -MARGIN,
          width: part.room + MARGIN,
          height: drawing.height + 2 * MARGIN,
          rx: 10,
        }),
        svg("text", { class: "label", x: -MARGIN + 4, y: -MARGIN - 6 }, part.group),
      ],
      drawing.lines.map((line) => svg("path", { class: "line", d: curve(line) })),
      drawing.joints.map(([x, y]) => svg("circle", { class: "joint", cx: x, cy: y, r: 3 })),
      drawing.heads.map((point) => svg("path", { class: "head", d: head(point) })),
      part.steps.map((step) => boxOf(step, drawing.boxes.get(step.id))),
    );
  };

  const boxOf = (step, place) => {
    const middle = place.x + place.width / 2;
    const told = svg("title", {}),
      says = svg("text", { class: "says", x: middle, y: place.y + 35 });
    const group = svg(
      "g",
      { class: "step", role: "button", tabindex: -1, "data-step": step.id, on: { click: () => choose(step.id) } },
      told,
      svg("rect", { class: "box", x: place.x, y: place.y, width: place.width, height: place.height, rx: 7 }),
      svg("text", { x: middle, y: place.y + 19 }, clipped(step.id)),
      says,
    );
    boxes.set(step.id, { group, told, says, step, fits: Math.floor((place.width - 10) / SMALL_COLUMN) });
    return group;
  };

  /** Bring what goes on, or went wrong, into view; not while somebody is looking around. */
  let active = "";
  const reveal = () => {
    const going = [...boxes].filter(
      ([id]) => !["pending", "completed", "skipped", undefined].includes(states.get(id)?.status),
    );
    const key = going.map(([id]) => id).join();
    if (key === active || !going.length || node.matches(":hover, :focus-within")) return;
    active = key;
    const [frame, box] = [node.getBoundingClientRect(), going[0][1].group.getBoundingClientRect()];
    if (box.top < frame.top || box.bottom > frame.bottom)
      node.scrollTop += box.top - frame.top - frame.height / 2 + box.height / 2;
    if (box.left < frame.left || box.right > frame.right)
      node.scrollLeft += box.left - frame.left - frame.width / 2 + box.width / 2;
  };

  const paint = () => {
    for (const [id, { group, told, says, step, fits }] of boxes) {
      const at = states.get(id) || { status: "pending" };
      const text = stands(at);
      mark(group, {
        class: `step ${at.status === "pending" ? "pending" : tone(at.status)}`,
        "aria-pressed": id === chosen,
        "aria-label": `${id}: ${text}`,
        "data-status": at.status,
      });
      // Where there is no room for both, the mark and the colour say it without the word.
      say(says, text.length > fits ? text.replace(/^(\S+) .*? (?=\d)/, "$1 ") : text);
      const why = at.error ? oneLine(at.error.message) : at.skipped ? `skipped: ${at.skipped.why || ""}` : "";
      say(told, [id, text, why, step.description, step.when && `when: ${step.when}`].filter(Boolean).join("\n"));
    }
    reveal();
  };

  /** What runs says for how long, also while nothing happens. */
  const keepTime = () => {
    clearInterval(timer);
    const goes = [...states.values()].some((at) => at.status === "running" && !at.past);
    if (goes) timer = setInterval(() => (node.isConnected ? paint() : clearInterval(timer)), 1000);
  };

  new ResizeObserver(draw).observe(node);
  return {
    node,
    /** The steps to draw, as /graph tells them. */
    show(steps) {
      given = steps;
      draw();
    },
    /** How the steps stand, as `status` tells it. */
    paint(steps) {
      states = new Map(steps.map((step) => [step.id, step]));
      paint();
      keepTime();
    },
    choose(step) {
      chosen = step;
      paint();
    },
  };
}

/** The main graph, and the handlers below it, next to one another as far as there is room. */
function placed(steps, most) {
  const found = [];
  let x = MARGIN,
    y = MARGIN,
    bottom = MARGIN;
  for (const group of GROUPS) {
    const own = steps.filter((step) => step.group === group);
    if (!own.length) continue;
    const widths = new Map(own.map((step) => [step.id, Math.max(LEAST, clipped(step.id).length * COLUMN + 24)]));
    const drawing = layered(
      rowsOf(own),
      new Map(own.map((step) => [step.id, step.needs])),
      widths,
      BOX,
      most - (group === "steps" ? 0 : MARGIN),
    );
    if (group === "steps") {
      found.push({ group, steps: own, drawing, x, y, room: drawing.width });
      y = bottom = y + drawing.height + 2 * MARGIN + LABEL;
      continue;
    }
    if (!found.length) y = bottom = MARGIN + LABEL;
    const room = Math.max(drawing.width, group.length * COLUMN);
    if (x > MARGIN && x + room + 2 * MARGIN > Math.max(most, found[0].drawing.width)) [x, y] = [MARGIN, bottom];
    found.push({ group, steps: own, drawing, x: x + MARGIN, y: y, room: room + MARGIN });
    x += room + 3 * MARGIN;
    bottom = Math.max(bottom, y + drawing.height + 3 * MARGIN + LABEL);
  }
  const [main, ...handlers] = found;
  const over = Math.max(0, ...handlers.map((part) => part.x + part.room - MARGIN)) - main.drawing.width;
  if (main.group === "steps") main.x += Math.max(0, over / 2);
  return found;
}
