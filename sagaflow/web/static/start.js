// Starting a saga: its class, its context, and perhaps its id, when it begins, and its tags.

import { look, send } from "./api.js";
import { ask, field } from "./dialogs.js";
import { h, sagaLink, tagsIn, toast } from "./dom.js";

/** Ask what to start, and start it. */
export async function start() {
  const types = await look("api/types");
  if (!types.length) {
    toast("This service has no class of sagas: Engine(sagas=[...])", "bad");
    return;
  }
  const context = h("textarea", { name: "context", rows: 9, spellcheck: "false", class: "code", required: true });
  const doc = h("p", { class: "muted doc" });
  const schema = h("pre", { class: "payload" });
  const choice = h(
    "select",
    { name: "saga", onchange: () => choose() },
    types.map((type) => h("option", { value: type.name }, type.name)),
  );
  const choose = () => {
    const type = types.find((one) => one.name === choice.value);
    context.value = JSON.stringify(type.example, null, 2);
    doc.textContent = type.doc.split("\n\n")[0];
    schema.textContent = JSON.stringify(type.context, null, 2);
  };
  choose();
  ask({
    title: "Start a saga",
    confirm: "Start",
    fields: [
      field("Saga", choice),
      doc,
      field("Context", context, "JSON, of the type that the saga is for"),
      h("details", null, h("summary", null, "Its type, as JSON Schema"), schema),
      h(
        "div",
        { class: "pair" },
        field("Id", h("input", { name: "id", maxlength: 200, placeholder: "a new one" }), "names the transaction for ever"),
        field("Begins after", h("input", { name: "delay", type: "number", min: 0, step: "any", placeholder: "now" }), "seconds"),
      ),
      field("Tags", h("input", { name: "tags", placeholder: "none" }), "labels to find it by, with spaces between"),
    ],
    done: async (data) => {
      const { id } = await send("api/sagas", {}, body(data));
      location.hash = sagaLink(id);
      toast(`${data.get("saga")} ${id} is started`);
    },
  });
}

/** The request; the context as it was written, so that no number in it is rounded. */
function body(data) {
  try {
    JSON.parse(data.get("context"));
  } catch (error) {
    throw Object.assign(error, { problem: { detail: `The context is no JSON: ${error.message}.`, remedy: 'Write text in quotes: "ada".' } });
  }
  const parts = [`"saga":${JSON.stringify(data.get("saga"))}`, `"context":${data.get("context")}`];
  if (data.get("id")) parts.push(`"id":${JSON.stringify(data.get("id"))}`);
  if (data.get("delay")) parts.push(`"delay":${Number(data.get("delay"))}`);
  const tags = tagsIn(data.get("tags"));
  if (tags.length) parts.push(`"tags":${JSON.stringify(tags)}`);
  return `{${parts.join(",")}}`;
}
