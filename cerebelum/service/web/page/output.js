// What the steps print, as it comes. Lines are kept in blocks; only the latest blocks are on the page, and earlier ones
// are drawn when somebody asks for them.

import { get, of } from "./api.js";
import { Line, Screen, shown } from "./ansi.js";
import { problem } from "./dialogs.js";
import { clock, size } from "./display.js";
import { add, button, el, fill } from "./dom.js";

// Lines of a block; blocks on the page, in memory, and that a click brings back; ms that a watcher is kept waiting.
const BLOCK_LINES = 400,
  MOST_SHOWN = 8,
  MOST_KEPT = 250,
  MORE = 5,
  PATIENCE = 1500;
const encoder = new TextEncoder();

const bytesOf = (piece) => {
  if (piece.text === undefined) return Uint8Array.from(atob(piece.base64), (letter) => letter.charCodeAt(0));
  return encoder.encode(piece.text);
};

/** What one attempt prints: its streams, what was seen of it, and the line that is not over. */
class Attempt {
  constructor(step, number, panel) {
    Object.assign(this, { step, number, panel, next: 0, open: null, streams: new Map() });
  }

  take(piece) {
    const stream = this.streams.get(piece.stream) ?? this.begin(piece.stream);
    const bytes = piece.text === undefined || /[^\x00-\x7f]/.test(piece.text) ? bytesOf(piece) : null;
    const end = piece.offset + (bytes ? bytes.length : piece.text.length);
    // The same piece may come by the stream and by a page of the log.
    if (piece.offset < this.next) return;
    if (piece.offset > this.next) this.panel.note(`${size(piece.offset - this.next)} left out here`);
    this.next = end;
    const text = bytes ? stream.decoder.decode(bytes, { stream: true }) : piece.text;
    this.at = piece.at;
    stream.screen.feed(text);
  }

  begin(name) {
    const line = () => (this.open && this.open.stream === name ? this.open : (this.open = this.panel.line(this, name)));
    const screen = new Screen({
      text: (text, look) => {
        const open = line();
        open.line.write(text, look);
        this.panel.changed(open);
      },
      end: () => {
        this.panel.changed(line());
        this.open = null;
      },
      back: () => {
        if (this.open) {
          this.open.line.back();
        }
      },
      erase: (what) => {
        if (this.open) {
          this.open.line.erase(what);
          this.panel.changed(this.open);
        }
      },
    });
    const stream = { screen, decoder: new TextDecoder() };
    this.streams.set(name, stream);
    return stream;
  }
}

/** The panel. `choose(step)` is called when another step is chosen, with "" for all. */
export function outputView(choose) {
  const earlier = button("Earlier output", () => showEarlier(), { class: "earlier", hidden: true });
  const empty = el("p", { class: "quiet empty-output", hidden: true });
  const inside = el("div", { class: "blocks" });
  const text = el(
    "div",
    { class: "output-text", role: "log", "aria-label": "Output", "aria-live": "off", tabindex: "0" },
    earlier,
    empty,
    inside,
  );
  const follow = el("input", { type: "checkbox", checked: true, id: "follow" });
  const wrap = el("input", { type: "checkbox", checked: true, id: "wrap" });
  const pick = el("select", { "aria-label": "Output of", on: { change: () => choose(pick.value) } });
  const node = el(
    "section",
    { class: "panel output", "aria-label": "Output" },
    el(
      "div",
      { class: "panel-head" },
      el("h2", {}, "Output"),
      pick,
      el("span", { class: "grow" }),
      el("label", { class: "tick" }, wrap, "Wrap"),
      el("label", { class: "tick" }, follow, "Follow"),
    ),
    text,
  );
  const me = { node, position: 0 };
  let id = null,
    step = "",
    until = null,
    generation = 0;
  let blocks, first, gone, attempts, dirty, painting, loading, queue, lastShown;

  const clear = () => {
    [blocks, first, gone, attempts, dirty, loading, queue, lastShown] = [
      [],
      0,
      0,
      new Map(),
      new Set(),
      false,
      [],
      null,
    ];
    me.position = 0;
    fill(inside);
    earlier.hidden = empty.hidden = true;
  };
  clear();

  // -- following the end --

  let seen = 0;
  const toEnd = () => {
    if (!follow.checked) return;
    text.scrollTop = text.scrollHeight;
    seen = text.scrollTop;
  };
  follow.addEventListener("change", () => {
    trim();
    toEnd();
  });
  wrap.addEventListener("change", () => {
    text.classList.toggle("no-wrap", !wrap.checked);
    toEnd();
  });
  text.addEventListener(
    "scroll",
    () => {
      const { scrollTop } = text;
      if (text.scrollHeight - scrollTop - text.clientHeight < 24) follow.checked = true;
      else if (scrollTop < seen - 2) follow.checked = false;
      seen = scrollTop;
    },
    { passive: true },
  );
  new ResizeObserver(toEnd).observe(text);

  // -- lines --

  const row = (of, stream) => {
    let block = blocks.at(-1);
    if (!block || block.rows.length >= BLOCK_LINES) blocks.push((block = { rows: [], node: null }));
    const made = { block, of, stream, line: new Line(), node: null, body: null, at: null };
    block.rows.push(made);
    return made;
  };

  /** A new line of an attempt, at the end. */
  me.line = (attempt, stream) => {
    const key = `${attempt.step} ${attempt.number}`;
    const other = key !== lastShown;
    if (other && attempt.number > 1) me.note(`${attempt.step}, attempt ${attempt.number}`, "divider");
    lastShown = key;
    return Object.assign(row(other && !step ? attempt.step : "", stream), { at: attempt.at, step: attempt.step });
  };

  me.note = (what, kind = "note") => {
    const made = row("", kind);
    made.line.write(kind === "note" ? `… ${what}` : what, {});
    me.changed(made);
  };

  me.changed = (made) => {
    dirty.add(made);
    // A page that nobody sees gets no frames.
    painting ??= document.hidden ? setTimeout(paint, 200) : requestAnimationFrame(paint);
  };

  const draw = (made) => {
    if (!made.node) {
      made.body = el("span", { class: "text" });
      made.node = el("div", { class: `line ${made.stream}` }, !step && el("span", { class: "of" }, made.of), made.body);
      if (made.at) made.node.title = `${made.step} · ${made.stream} · ${clock(made.at)}`;
      made.block.node.append(made.node);
    }
    made.body.replaceChildren(...made.line.parts().map(([part, look]) => shown(part, look)));
    if (made.line.over) add(made.body, el("span", { class: "quiet" }, ` … ${made.line.over} more characters`));
  };

  const drawBlock = (block, before = null) => {
    block.node = el("div", { class: "block" });
    inside.insertBefore(block.node, before);
    for (const made of block.rows) {
      made.node = null;
      draw(made);
    }
  };

  /** Take what is too much off the page, and out of memory. */
  const trim = () => {
    const least = blocks.length - (follow.checked ? MOST_SHOWN : MOST_SHOWN * 5);
    for (; first < least; first++) {
      blocks[first].node?.remove();
      blocks[first].node = null;
    }
    while (blocks.length > MOST_KEPT) {
      const [oldest] = blocks.splice(0, 1);
      oldest.node?.remove();
      first = Math.max(0, first - 1);
      gone += oldest.rows.length;
    }
    earlier.hidden = first === 0 && gone === 0;
    earlier.disabled = first === 0;
    fill(
      earlier,
      first > 0 ? "Earlier output" : `${gone.toLocaleString("en")} earlier lines are shown by: cerebelum logs`,
    );
  };

  const paint = () => {
    painting = null;
    trim();
    for (const block of blocks.slice(first)) if (!block.node) drawBlock(block);
    for (const made of dirty) if (made.block.node) draw(made);
    dirty.clear();
    empty.hidden = true;
    toEnd();
  };

  const showEarlier = () => {
    follow.checked = false;
    const below = text.scrollHeight - text.scrollTop;
    for (let count = 0; count < MORE && first > 0; count++) drawBlock(blocks[--first], inside.firstChild);
    trim();
    text.scrollTop = seen = Math.max(0, text.scrollHeight - below);
  };

  const takeAll = (pieces) => {
    for (const piece of pieces) {
      if ((step && piece.step !== step) || (until && piece.at > until)) continue;
      const key = JSON.stringify([piece.step, piece.attempt]);
      if (!attempts.has(key)) attempts.set(key, new Attempt(piece.step, piece.attempt, me));
      attempts.get(key).take(piece);
    }
  };

  // -- where it comes from --

  const load = async (bounded) => {
    const mine = generation,
      began = Date.now();
    loading = true;
    try {
      for (;;) {
        const page = await get(of(id, "logs"), { step, after: me.position, limit: 1000 });
        if (mine !== generation) return;
        const done = !page.lines.length || page.position === me.position;
        takeAll(page.lines);
        me.position = page.position;
        if (done || (bounded && Date.now() - began > PATIENCE)) break;
        await new Promise((wake) => setTimeout(wake, 0));
        if (mine !== generation) return;
      }
      empty.hidden = attempts.size > 0;
      fill(empty, step ? `${step} has printed nothing.` : "Nothing was printed.");
    } catch (error) {
      if (mine !== generation) return;
      empty.hidden = attempts.size > 0;
      fill(empty, error.status === 404 && step ? `${step} has printed nothing.` : error.status ? problem(error) : "");
    } finally {
      if (mine === generation) {
        loading = false;
        for (const pieces of queue.splice(0)) takeAll(pieces);
      }
    }
  };

  return Object.assign(me, {
    /**
     * Begin with the output of an execution (or of one step, until a moment). Resolves when what there is has been
     * read, or with `bounded` after a while, since the rest comes by the stream.
     */
    show(newId, newStep, newUntil = null, bounded = false) {
      [id, step, until] = [newId, newStep, newUntil];
      generation++;
      clear();
      follow.checked = true;
      return load(bounded);
    },
    /** Read what has been printed since. */
    more: () => (loading ? null : load(false)),
    /** Pieces that the stream brought, up to `position`. */
    take(pieces, position) {
      if (loading) return void queue.push(pieces);
      takeAll(pieces);
      me.position = position;
    },
    /** The steps to choose from. */
    steps(ids, chosen) {
      const names = [["", "all steps"], ...ids.map((name) => [name, name])];
      if (pick.length !== names.length)
        fill(
          pick,
          names.map(([value, label]) => el("option", { value }, label)),
        );
      pick.value = chosen;
    },
    close() {
      generation++;
    },
  });
}
