// Starts a workflow that the service was given.

import { post } from "./api.js";
import { field, jsonArea, jsonOf, openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { go, link } from "./route.js";

/** Ask what is to be started, and go there. */
export function startDialog(workflows) {
  const pick = el(
    "select",
    { id: "start-workflow" },
    workflows.map((name) => el("option", { value: name }, name)),
  );
  const inputs = jsonArea("{}", 5);
  const name = el("input", { type: "text", id: "start-id", autocomplete: "off", spellcheck: "false" });
  const lock = el("input", { type: "text", id: "start-lock", autocomplete: "off", spellcheck: "false" });
  const tags = el("input", { type: "text", id: "start-tags", autocomplete: "off", spellcheck: "false" });
  return openDialog({
    title: "Start a workflow",
    body: [
      field("Workflow", pick),
      field("Inputs", inputs, 'A JSON object, such as {"version": "1.4.0"}'),
      field("Id", name, "Made up, if it is left empty."),
      field("Tags", tags, "With commas between them."),
      field("Lock", lock, "Of those with the same one, one goes on at a time."),
    ],
    label: "Start",
    act: async () => {
      const made = await post("api/v1/executions", {
        workflow: pick.value,
        inputs: jsonOf(inputs, "Inputs"),
        tags: tags.value
          .split(",")
          .map((tag) => tag.trim())
          .filter(Boolean),
        ...(name.value.trim() ? { execution_id: name.value.trim() } : {}),
        ...(lock.value.trim() ? { lock: lock.value.trim() } : {}),
      });
      go(link(made.execution_id));
    },
  });
}
