// The smallest parts of what people read, as cerebelum.render.display has them: times, sizes, symbols, harmless text.

const STRANGE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const COLOUR = /\x1b\[[0-9;:]*m/g;

function picture(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return code < 0x100 ? `\\x${code.toString(16)}` : `\\u${code.toString(16)}`;
}

/** Text that cannot mislead: colours are removed, control characters and what reverses the reading are shown. */
export function harmless(text) {
  if (text.search(STRANGE) < 0) return text;
  return text.replace(COLOUR, "").replace(/\r\n/g, "\n").replace(STRANGE, picture);
}

/** The first line of a text, of at most so many characters. */
export function oneLine(text, most = 200) {
  const line = String(text).trim().split("\n", 1)[0].replaceAll("\t", " ");
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}

/** A length of time as people say it: `0.2 s`, `1 min 5 s`, `2 h 3 min`, `4 d 1 h`. */
export function length(seconds) {
  if (seconds < 9.95) return `${Math.max(0, seconds).toFixed(1)} s`;
  const whole = Math.round(seconds);
  for (const [unit, name, smaller, smallName] of [
    [86400, "d", 3600, "h"],
    [3600, "h", 60, "min"],
    [60, "min", 1, "s"],
  ]) {
    if (whole < unit) continue;
    const rest = Math.floor((whole % unit) / smaller);
    return `${Math.floor(whole / unit)} ${name}${rest ? ` ${rest} ${smallName}` : ""}`;
  }
  return `${whole} s`;
}

const two = (number) => String(number).padStart(2, "0");

/** A moment in local time, to the second. */
export function moment(at) {
  return at ? `${day(at)} ${clock(at)}` : "";
}

/** The day of a moment. */
export function day(at) {
  const date = new Date(at);
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The time of day of a moment. */
export function clock(at) {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A number of bytes as people say it. */
export function size(count) {
  let value = count;
  for (const unit of ["bytes", "KiB", "MiB"]) {
    if (value < 1024) return unit === "bytes" ? `${count} bytes` : `${value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${value.toFixed(1)} GiB`;
}

/** A value as JSON on one line; text as it is. */
export function value(given) {
  return typeof given === "string" ? given : JSON.stringify(given);
}

/** A status in words. */
export const words = (status) => status.replaceAll("_", " ");

const SYMBOLS = {
  completed: "✓",
  failed: "✗",
  running: "▶",
  answered: "▶",
  on_worker: "▶",
  reported: "▶",
  cancelled: "■",
  interrupted: "■",
  skipped: "–",
  pending: "·",
  "not started": "·",
};
const TONES = {
  answered: "running",
  on_worker: "running",
  reported: "running",
  retrying: "waiting",
  sleeping: "waiting",
  queued: "waiting",
  waiting_for_worker: "waiting",
  waiting_for_approval: "waiting",
  waiting_for_lock: "waiting",
  paused: "waiting",
  pending: "quiet",
  "not started": "quiet",
};

/** The symbol of a status of a step or of an execution. */
export const symbol = (status) => SYMBOLS[status] || "‖";

/** The name of the colour of a status. */
export const tone = (status) => TONES[status] || (status in SYMBOLS ? status : "quiet");

/** Of what somebody drives, or should. */
export const goesOn = (status) =>
  ["queued", "running", "sleeping", "waiting_for_worker", "waiting_for_approval", "waiting_for_lock"].includes(status);

// -- time that ticks --------------------------------------------------------------------------------------------------

let ahead = 0;

/** Learn how far the service's clock is ahead of this one, from a moment that it named just now. */
export function setClock(serverNow, exact = false) {
  const found = serverNow - Date.now();
  // The Date header is whole seconds.
  if (exact || Math.abs(found - ahead) > 1500) ahead = found;
}

/** Now, by the service's clock, in ms. */
export const now = () => Date.now() + ahead;

/** How long ago a moment was. */
export const ago = (at) => `${coarse(Math.max(0, (now() - Date.parse(at)) / 1000))} ago`;

/** Of something that is over a minute long, nobody counts the seconds. */
export function coarse(seconds) {
  if (seconds < 1) return "0 s";
  return seconds < 60 ? `${Math.floor(seconds)} s` : length(seconds < 3600 ? seconds - (seconds % 60) : seconds);
}

/** Have every `<time>` say how long it is now: `data-ago` since a moment, `data-since` lasting from one. */
export function tick(root = document) {
  for (const node of root.querySelectorAll("time[data-ago], time[data-since]")) {
    const { ago: past, since } = node.dataset;
    const text = past ? ago(past) : length(Math.max(0, Math.floor((now() - Date.parse(since)) / 1000)));
    if (node.textContent !== text) node.textContent = text;
  }
}
