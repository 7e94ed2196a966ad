// Where moments are drawn, as cerebelum.render.gantt has it: long stretches in which nothing ran are drawn shorter.

const SHORTENED = 0.4,
  TICK = 92;
const STEPS = [
  0.001,
  0.002,
  0.005,
  0.01,
  0.02,
  0.05,
  0.1,
  0.2,
  0.5,
  1,
  2,
  5,
  10,
  15,
  30,
  60,
  120,
  300,
  600,
  900,
  1800,
  3600,
  7200,
  10800,
  21600,
  43200,
  ...[1, 2, 7, 14, 30, 90, 365].map((days) => 86400 * days),
];
/** What an attempt ran in; other spans are waits. */
const WORK = ["completed", "failed", "interrupted", "running"];

/** From the moments `begin` to `end` (ms), with `spans` of {kind, begin, end}, drawn from `left` over `room` pixels. */
export class Axis {
  constructor(begin, end, spans, left, room) {
    this.began = begin;
    this.left = left;
    const total = Math.max((end - begin) / 1000, 0.001);
    this.stretches = this.divided(total, idle(begin, spans, total), room);
    const plain = this.stretches.find((one) => !one.cut && one.end > one.begin);
    this.perSecond = plain ? (plain.toX - plain.x) / (plain.end - plain.begin) : 0;
  }

  divided(total, gaps, plot) {
    const cut = [];
    let rest = total,
      room = plot;
    gaps.sort((a, b) => b[1] - b[0] - (a[1] - a[0]));
    for (const gap of gaps) {
      const long = gap[1] - gap[0];
      if ((long * room) / rest <= (SHORTENED * plot) / (cut.length + 1) || rest - long <= 0) break;
      cut.push(gap);
      rest -= long;
      room = (1 - SHORTENED) * plot;
    }
    const edges = [...new Set([0, total, ...cut.flat()])].sort((a, b) => a - b);
    const found = [];
    let x = this.left;
    for (let at = 1; at < edges.length; at++) {
      const [begin, end] = [edges[at - 1], edges[at]];
      const short = cut.some((gap) => gap[0] === begin && gap[1] === end);
      const toX = x + (short ? (SHORTENED * plot) / cut.length : ((end - begin) * room) / rest);
      found.push({ begin, end, x, toX, cut: short });
      x = toX;
    }
    return found;
  }

  x(at) {
    const seconds = (at - this.began) / 1000;
    for (const one of this.stretches) {
      if (seconds > one.end) continue;
      const share = (seconds - one.begin) / Math.max(one.end - one.begin, 1e-9);
      return one.x + Math.min(Math.max(share, 0), 1) * (one.toX - one.x);
    }
    return this.stretches.at(-1).toX;
  }

  /** Round moments of local time to write along the top, with where they are and how far they are from one another. */
  ticks() {
    const step = STEPS.find((one) => one * this.perSecond >= TICK) ?? STEPS.at(-1);
    const offset = -new Date(this.began).getTimezoneOffset() * 60;
    const began = this.began / 1000;
    const found = [];
    let last = -TICK;
    for (const stretch of this.stretches) {
      if (stretch.cut) continue;
      for (let n = Math.ceil((began + stretch.begin + offset) / step); ; n++) {
        const at = Math.round((n * step - offset) * 1000) / 1000;
        if (at - began > stretch.end || found.length > 60) break;
        const x = this.x(at * 1000);
        if (x - last < TICK * 0.8) continue;
        found.push({ at: at * 1000, x, step });
        last = x;
      }
    }
    return found;
  }
}

/** Stretches in which no attempt ran, in seconds since the beginning. */
function idle(began, spans, total) {
  const found = [];
  let at = 0;
  for (const { begin, end } of spans.filter((span) => WORK.includes(span.kind)).sort((a, b) => a.begin - b.begin)) {
    const start = (begin - began) / 1000;
    if (start > at) found.push([at, start]);
    at = Math.max(at, (end - began) / 1000);
  }
  if (at < total) found.push([at, total]);
  return found;
}
