// The only place where elements are made. Strings become text, never markup.

import { harmless } from "./display.js";

const SVG = "http://www.w3.org/2000/svg";

function set(node, props) {
  for (const [name, value] of Object.entries(props || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") for (const [type, listener] of Object.entries(value)) node.addEventListener(type, listener);
    else if (name === "style") for (const [key, given] of Object.entries(value)) node.style.setProperty(key, given);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : harmless(String(value)));
  }
  return node;
}

/** Append nodes and strings; null and false are left out, arrays are flattened. */
export function add(node, ...children) {
  for (const child of children.flat(3)) {
    if (child === null || child === undefined || child === false || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(harmless(String(child))));
  }
  return node;
}

/** An HTML element: `el("p", { class: "note", on: { click } }, "text", other)`. */
export function el(tag, props, ...children) {
  return add(set(document.createElement(tag), props), ...children);
}

/** The same for SVG. */
export function svg(tag, props, ...children) {
  return add(set(document.createElementNS(SVG, tag), props), ...children);
}

/** Put other children into a node. */
export function fill(node, ...children) {
  node.replaceChildren();
  return add(node, ...children);
}

/** Set a node's text if it is another one, so that nothing is painted for nothing. */
export function say(node, text) {
  const safe = harmless(String(text));
  if (node.textContent !== safe) node.textContent = safe;
  return node;
}

/** Set or remove attributes. */
export function mark(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) node.removeAttribute(name);
    else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, harmless(String(value)));
  }
  return node;
}

/** Somebody's text in a line of ours: its direction of reading stays its own. */
export const own = (text, props) => el("bdi", props, text);

/** A button that does something. */
export const button = (label, act, props = {}) => el("button", { type: "button", ...props, on: { click: act } }, label);

/** Call `act` once, soon, however often it is asked for; not again before `pause` ms, or some times what it took. */
export function coalesced(act, pause) {
  let timer = null,
    next = 0,
    busy = false,
    again = false;
  const run = async () => {
    timer = null;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    const began = Date.now();
    try {
      await act();
    } finally {
      busy = false;
      next = Date.now() + Math.max(pause, 3 * (Date.now() - began));
      if (again) {
        again = false;
        ask();
      }
    }
  };
  const ask = () => {
    timer ??= setTimeout(run, Math.max(20, next - Date.now()));
  };
  ask.stop = () => {
    clearTimeout(timer);
    timer = null;
    again = false;
  };
  return ask;
}

/** One tab stop for many items; arrow keys, j and k, Home and End move among them. `items()` gives them in order. */
export function roving(container, items, act) {
  const current = () => items().find((item) => item.tabIndex === 0);
  const choose = (item, focus = true) => {
    for (const other of items()) if (other !== item && other.tabIndex === 0) other.setAttribute("tabindex", "-1");
    if (item) {
      item.setAttribute("tabindex", "0");
      if (focus) item.focus();
    }
  };
  const move = (by) => {
    const all = items();
    const at = all.indexOf(document.activeElement);
    const to = at < 0 ? all.indexOf(current()) : Math.min(Math.max(at + by, 0), all.length - 1);
    choose(all[Math.max(to, 0)]);
  };
  container.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || !items().includes(event.target)) return;
    const by = { ArrowDown: 1, ArrowRight: 1, j: 1, ArrowUp: -1, ArrowLeft: -1, k: -1, Home: -1e9, End: 1e9 }[
      event.key
    ];
    if (by !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      move(by);
    } else if (act && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      act(event.target);
    }
  });
  container.addEventListener("focusin", (event) => {
    if (items().includes(event.target)) choose(event.target, false);
  });
  return {
    move,
    choose,
    settle: () => {
      if (!current()) choose(items()[0], false);
    },
  };
}
