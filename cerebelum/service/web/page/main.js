// The frame around what is looked at: which of the two views, the bar at the top, the token, and the keys.

import { get, onUnauthenticated, hasToken } from "./api.js";
import { keysDialog, tokenDialog } from "./dialogs.js";
import { tick } from "./display.js";
import { button, el, fill, mark, say } from "./dom.js";
import { listView } from "./list.js";
import { go, here } from "./route.js";
import { onConnection, tryNow } from "./stream.js";

const byId = (id) => document.getElementById(id);
const main = byId("main");

let service = { read_only: true, workflows: [], version: null, authenticated_as: null };
let view = null;
let shown = null;

// -- light and dark ---------------------------------------------------------------------------------------------------

const systemIsDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : systemIsDark.matches;
}

function showTheme() {
  const label = isDark() ? "Dark; make it light" : "Light; make it dark";
  mark(byId("theme"), { title: label, "aria-label": label, "aria-pressed": isDark() });
}

byId("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("cerebelum-theme", theme);
  } catch {
    // Without storage it holds for as long as the page is open.
  }
  showTheme();
});
systemIsDark.addEventListener("change", showTheme);
showTheme();

// -- the connection and the token -------------------------------------------------------------------------------------

onUnauthenticated(tokenDialog);
onConnection((lost) => {
  const bar = byId("lost");
  if (lost === !bar.hidden) return;
  bar.hidden = !lost;
  if (!lost) learn().catch(() => {});
  fill(bar, lost && [el("span", {}, "Connection lost, trying again…"), button("Try now", tryNow)]);
});

// -- what is looked at ------------------------------------------------------------------------------------------------

const shell = {
  get service() {
    return service;
  },
  /** Say something to those who cannot see it. */
  announce: (text) => say(byId("announce"), text),
  title: (text) => {
    document.title = `${text} · cerebelum`;
  },
  /** The execution that was looked at last, and where the list was then. */
  opened: null,
  list: "#/",
};

async function show() {
  const place = here();
  const kind = place.id ?? "list";
  if (place.id === null) shell.list = location.hash || "#/";
  if (view && shown === kind) return view.update(place);
  view?.close();
  view = null;
  shown = kind;
  if (place.id === null) {
    view = listView(shell, place);
  } else {
    shell.opened = place.id;
    const { executionView } = await import("./execution.js");
    if (shown !== kind) return;
    view = executionView(shell, here());
  }
  fill(main, view.node);
  view.begin?.();
}

addEventListener("hashchange", show);
setInterval(tick, 1000);

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});

// -- starting ---------------------------------------------------------------------------------------------------------

byId("start").addEventListener("click", async () => {
  const { startDialog } = await import("./starting.js");
  startDialog(service.workflows);
});

async function learn() {
  service = await get("api/v1/service");
  byId("start").hidden = service.read_only || !service.workflows.length;
  const who = service.authenticated_as;
  fill(byId("scope"), service.read_only && el("span", { class: "tag" }, "read only"), who && el("span", {}, who));
  mark(byId("scope"), { title: `cerebelum ${service.version}, ${service.store}` });
  view?.serviceKnown?.();
}

// -- keys -------------------------------------------------------------------------------------------------------------

byId("keys").addEventListener("click", keysDialog);

document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select");
  if (event.key === "Escape") {
    if (typing && event.target.value && event.target.type === "search") return;
    if (typing || (event.target !== document.body && !main.contains(event.target))) event.target.blur();
    else if (here().id !== null) back();
  } else if (typing) {
    return;
  } else if (event.key === "?") {
    keysDialog();
  } else if (event.key === "/") {
    event.preventDefault();
    if (view?.search) view.search();
    else {
      go("#/");
      queueMicrotask(() => setTimeout(() => view?.search?.(), 0));
    }
  } else if (["j", "k", "ArrowDown", "ArrowUp"].includes(event.key) && view?.move) {
    const free = event.target === document.body || event.target === main;
    if (free) {
      event.preventDefault();
      view.move(0);
    }
  }
});

/** Back to the list as it was, or to the list if somebody came here by a link. */
function back() {
  if (history.state?.fromList) history.back();
  else go(shell.list);
}

shell.back = back;
show();
learn().catch(() => {
  if (hasToken()) view?.serviceKnown?.();
});
