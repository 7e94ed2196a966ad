// What a terminal would show of a step's output: colours, bold letters, lines that were written over. No commands.

/** How text looks; what is left out is as usual. */
const PLAIN = Object.freeze({});

const CUBE = [0, 95, 135, 175, 215, 255];

/** A colour of the 256: a number up to 15 is one of the page's own palette, others are mixed. */
function indexed(number) {
  if (!(number >= 0 && number <= 255)) return null;
  if (number < 16) return number;
  if (number >= 232) return rgb(...Array(3).fill(8 + (number - 232) * 10));
  const at = number - 16;
  return rgb(CUBE[Math.floor(at / 36)], CUBE[Math.floor(at / 6) % 6], CUBE[at % 6]);
}

const rgb = (...parts) => (parts.every((part) => part >= 0 && part <= 255) ? `rgb(${parts.join(" ")})` : null);

/** The look after an SGR sequence with these parameters (the text between `ESC [` and `m`). */
export function sgr(look, parameters) {
  const codes = parameters
    .split(";")
    .flatMap((part) => {
      // `38:2::1:2:3` is one colour, with an empty place for a colour space.
      const sub = part.split(":");
      if (sub.length > 1 && (sub[0] === "38" || sub[0] === "48")) {
        return sub[1] === "2" ? [sub[0], "2", ...sub.slice(-3)] : sub.slice(0, 3);
      }
      return sub.length > 1 && sub[0] === "4" ? [sub[1] === "0" ? "24" : "4"] : [sub[0]];
    })
    .map(Number);
  let next = { ...look };
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at];
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 2) next.dim = true;
    else if (code === 3) next.italic = true;
    else if (code === 4) next.underline = true;
    else if (code === 7) next.inverse = true;
    else if (code === 9) next.strike = true;
    else if (code === 22) (delete next.bold, delete next.dim);
    else if (code === 23) delete next.italic;
    else if (code === 24) delete next.underline;
    else if (code === 27) delete next.inverse;
    else if (code === 29) delete next.strike;
    else if (code >= 30 && code <= 37) next.fore = code - 30;
    else if (code >= 90 && code <= 97) next.fore = code - 82;
    else if (code >= 40 && code <= 47) next.back = code - 40;
    else if (code >= 100 && code <= 107) next.back = code - 92;
    else if (code === 39) delete next.fore;
    else if (code === 49) delete next.back;
    else if (code === 38 || code === 48) {
      const [kind, ...rest] = codes.slice(at + 1);
      const colour = kind === 5 ? indexed(rest[0]) : kind === 2 ? rgb(...rest.slice(0, 3)) : null;
      if (colour !== null) next[code === 38 ? "fore" : "back"] = colour;
      at += kind === 5 ? 2 : kind === 2 ? 4 : 0;
    }
  }
  return Object.keys(next).length ? Object.freeze(next) : PLAIN;
}

// CSI with its parameters; OSC and other strings to their end; two-letter escapes; other control characters.
const CONTROL = new RegExp(
  [
    /\x1b\[([0-?]*)[ -/]*([@-~])/,
    /\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)/,
    /\x1b[ -/]*[0-Z\\^-~]/,
    /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/,
  ]
    .map((one) => one.source)
    .join("|"),
  "g",
);
// What may be the beginning of a sequence whose end has not come yet.
const UNFINISHED = /\x1b(?:\[[0-?]*[ -/]*|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]*)?$/;

/** A line as it is on the screen: text with a look, and where the next letter goes. */
export class Line {
  constructor(most = 8000) {
    this.most = most;
    this.runs = [];
    this.cells = null;
    this.cursor = 0;
    this.size = 0;
    this.over = 0;
  }

  write(text, look) {
    if (this.cells) {
      for (const letter of text) this.put(letter, look);
      return;
    }
    const room = this.most - this.size;
    if (text.length > room) {
      this.over += text.length - Math.max(0, room);
      text = text.slice(0, Math.max(0, room));
    }
    if (!text) return;
    this.size += text.length;
    const last = this.runs.at(-1);
    if (last && last[1] === look) last[0] += text;
    else this.runs.push([text, look]);
  }

  put(letter, look) {
    if (this.cursor >= this.most) this.over++;
    else this.cells[this.cursor++] = [letter, look];
  }

  /** Begin at its left again: what comes is written over what there is. */
  back() {
    if (!this.cells) this.cells = this.runs.flatMap(([text, look]) => [...text].map((letter) => [letter, look]));
    this.cursor = 0;
  }

  /** Erase: 0 what is right of the cursor, 1 what is left of it, 2 everything. */
  erase(what) {
    if (!this.cells) {
      if (what !== 0) [this.runs, this.size] = [[], 0];
    } else if (what === 0) this.cells.length = this.cursor;
    else for (let at = 0; at < (what === 1 ? this.cursor : this.cells.length); at++) this.cells[at] = [" ", PLAIN];
  }

  /** Its text, in runs of the same look. */
  parts() {
    if (!this.cells) return this.runs;
    const found = [];
    for (const [letter, look] of this.cells) {
      const last = found.at(-1);
      if (last && last[1] === look) last[0] += letter;
      else found.push([letter, look]);
    }
    return found;
  }
}

/** Takes apart what a stream of an attempt prints: `text(string, look)`, `end()` of a line, `back()`, `erase(what)`. */
export class Screen {
  constructor(hear) {
    this.hear = hear;
    this.look = PLAIN;
    this.rest = "";
  }

  feed(given) {
    let text = this.rest + given;
    this.rest = "";
    const cut = UNFINISHED.exec(text);
    if (cut) {
      this.rest = cut[0];
      text = text.slice(0, cut.index);
    }
    // The two letters of a line's end may come in two pieces.
    if (text.endsWith("\r")) {
      this.rest = `\r${this.rest}`;
      text = text.slice(0, -1);
    }
    let from = 0;
    CONTROL.lastIndex = 0;
    for (let match = CONTROL.exec(text); match; match = CONTROL.exec(text)) {
      this.plain(text.slice(from, match.index));
      from = CONTROL.lastIndex;
      this.control(match, text[from]);
    }
    this.plain(text.slice(from));
  }

  control([all, parameters, final], next) {
    if (final === "m" && /^[\d;:]*$/.test(parameters)) this.look = sgr(this.look, parameters);
    else if (final === "K") this.hear.erase(Number(parameters || 0));
    else if (final === "G" && (parameters === "" || parameters === "1")) this.hear.back();
    else if (all === "\r" && next !== "\n") this.hear.back();
    // What reverses the reading direction is shown, since it could make a line say something else than it does.
    else if (all.charCodeAt(0) > 0x2000) this.hear.text(`\\u${all.charCodeAt(0).toString(16)}`, this.look);
  }

  plain(text) {
    let from = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
      if (at > from) this.hear.text(text.slice(from, at), this.look);
      this.hear.end();
      from = at + 1;
    }
    if (from < text.length) this.hear.text(text.slice(from), this.look);
  }
}

/** An element for a run of text; a string where it looks as usual. */
export function shown(text, look) {
  if (look === PLAIN) return document.createTextNode(text);
  const node = document.createElement("span");
  let { fore, back } = look;
  if (look.inverse) [fore, back] = [back ?? "paper", fore ?? "text"];
  for (const [name, colour] of [
    ["color", fore],
    ["background-color", back],
  ]) {
    if (typeof colour === "number") node.style.setProperty(name, `var(--ansi-${colour})`);
    else if (colour === "paper" || colour === "text") node.style.setProperty(name, `var(--${colour})`);
    else if (colour) node.style.setProperty(name, colour);
  }
  const classes = ["bold", "dim", "italic", "underline", "strike"].filter((name) => look[name]);
  if (classes.length) node.className = classes.join(" ");
  node.textContent = text;
  return node;
}
