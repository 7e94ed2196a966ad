// Dialogs: the frame of all of them, the one that asks for a token, and the one that shows the keys.

import { add, button, el, fill } from "./dom.js";

let count = 0;

/** Whatever went wrong, with what helps. */
export function problem(error) {
  return el(
    "div",
    { class: "problem", role: "alert" },
    el("strong", {}, "✗ "),
    el("bdi", {}, error.message),
    error.hint && el("p", { class: "note" }, el("bdi", {}, error.hint)),
    (error.problems || [])
      .slice(0, 20)
      .map((found) =>
        el("p", { class: "note" }, el("bdi", {}, [found.where, found.path, found.message].filter(Boolean).join(": "))),
      ),
  );
}

/**
 * Open a dialog with a form. `act()` does what the button says; the dialog closes when that has worked, and shows what
 * went wrong otherwise. Resolves to what `act` gave, or to undefined when it was closed.
 */
export function openDialog({ title, body, label, act, danger, wide, dismiss = "Close" }) {
  return new Promise((resolve) => {
    const name = `dialog-${++count}`;
    const errors = el("div", { class: "errors" });
    const submit = label && el("button", { type: "submit", class: danger ? "danger" : "primary" }, label);
    const form = el(
      "form",
      { method: "dialog", novalidate: true },
      el("h2", { id: name }, title),
      el("div", { class: "inside" }, body),
      errors,
      el("div", { class: "choices" }, dismiss && button(label ? "Back" : dismiss, () => dialog.close()), submit),
    );
    const dialog = el("dialog", { "aria-labelledby": name, class: wide ? "wide-dialog" : "" }, form);
    let result;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (!act || submit.disabled) return;
      submit.disabled = true;
      fill(errors);
      try {
        result = await act();
        dialog.close();
      } catch (error) {
        add(errors, problem(error));
      } finally {
        submit.disabled = false;
      }
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(result);
    });
    // A click beside it closes it, unless something was being written or selected.
    dialog.addEventListener("mousedown", (event) => {
      if (event.target === dialog && dismiss && !form.querySelector("textarea, input[type=text]")) dialog.close();
    });
    if (!dismiss) dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    (
      form.querySelector("[autofocus]") ||
      form.querySelector(".inside :is(input, select, textarea)") ||
      submit
    )?.focus();
  });
}

/** A labelled control. */
export function field(label, control, note) {
  const name = (control.id ||= `field-${++count}`);
  return el(
    "div",
    { class: "field" },
    el("label", { for: name }, label),
    control,
    note && el("p", { class: "note" }, note),
  );
}

/** A box to tick. */
export function tickBox(label, control, note) {
  return el(
    "label",
    { class: "tickbox" },
    control,
    el("span", {}, label, note && el("span", { class: "note" }, ` ${note}`)),
  );
}

/** A place for a JSON object. */
export function jsonArea(text, rows = 5) {
  return el("textarea", { class: "code", rows, spellcheck: "false", autocomplete: "off", value: text });
}

/** The object in it. Throws what is wrong with it. */
export function jsonOf(area, what) {
  const text = area.value.trim();
  area.removeAttribute("aria-invalid");
  if (!text) return {};
  let found;
  try {
    found = JSON.parse(text);
  } catch (error) {
    area.setAttribute("aria-invalid", "true");
    throw Object.assign(new Error(`${what}: this is not JSON`), { hint: error.message });
  }
  if (found === null || typeof found !== "object" || Array.isArray(found)) {
    area.setAttribute("aria-invalid", "true");
    throw Object.assign(new Error(`${what}: a JSON object is needed`), { hint: 'such as {"version": "1.4.0"}' });
  }
  return found;
}

/** Ask for a token; `wrong` if there was one and the service did not know it. */
export function tokenDialog(wrong) {
  const token = el("input", {
    type: "password",
    autocomplete: "current-password",
    autofocus: true,
    id: "token",
    required: true,
  });
  return openDialog({
    title: "This service needs a token",
    body: [
      wrong && el("p", { class: "problem", role: "alert" }, "✗ The service does not know this token."),
      field(
        "Token",
        token,
        "From the file that the service was given with --token-file. It is kept until this tab is closed.",
      ),
    ],
    label: "Continue",
    dismiss: null,
    act: async () => {
      const given = token.value.trim();
      if (!/^[\x21-\x7e]+$/.test(given)) throw Object.assign(new Error("a token is one word of ASCII"), { hint: null });
      return given;
    },
  });
}

const KEYS = [
  ["/", "search the executions"],
  ["j k ↓ ↑", "the next or the previous of a list"],
  ["Enter", "open what is chosen"],
  ["Home End", "the first, the last"],
  ["← →", "on the slider: a version earlier or later"],
  ["Esc", "close; back to the list"],
  ["?", "these keys"],
];

/** Show the keys. */
export function keysDialog() {
  openDialog({
    title: "Keys",
    body: el(
      "dl",
      { class: "keys" },
      KEYS.map(([keys, what]) => [
        el(
          "dt",
          {},
          keys.split(" ").map((key) => [el("kbd", {}, key), " "]),
        ),
        el("dd", {}, what),
      ]),
    ),
  });
}
