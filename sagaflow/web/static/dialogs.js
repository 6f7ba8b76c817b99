// Windows that ask for something before anything is done. The browser keeps the keyboard inside, and Escape leaves.

import { h, trouble } from "./dom.js";

/**
 * A window with a form.
 *
 * @param title what is about to be done
 * @param confirm the word on its button
 * @param fields what is asked for
 * @param done gets the form's data; what it throws is shown, else the window is closed
 */
export function ask({ title, confirm, fields, done, danger = false, lead = null }) {
  const problems = h("div");
  const button = h("button", { class: danger ? "danger" : "primary", type: "submit" }, confirm);
  const dialog = h(
    "dialog",
    { "aria-labelledby": "dialog-title", onclose: () => dialog.remove() },
    h(
      "form",
      {
        method: "dialog",
        onsubmit: async (event) => {
          event.preventDefault();
          button.disabled = true;
          problems.replaceChildren();
          try {
            await done(new FormData(event.target));
            dialog.close();
          } catch (error) {
            problems.replaceChildren(trouble(error));
          } finally {
            button.disabled = false;
          }
        },
      },
      h("h2", { id: "dialog-title" }, title),
      lead ? h("p", { class: "muted" }, lead) : null,
      ...fields,
      problems,
      h(
        "div",
        { class: "ends" },
        h("button", { type: "button", class: "quiet", onclick: () => dialog.close() }, "Leave it"),
        button,
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, button };
}

let fields = 0;

/** A line of a form. */
export function field(label, input, hint) {
  fields += 1;
  input.id = `field-${fields}`;
  if (hint) input.setAttribute("aria-describedby", `hint-${fields}`);
  return h(
    "div",
    { class: "field" },
    h("label", { for: input.id }, label),
    input,
    hint ? h("small", { id: `hint-${fields}`, class: "muted" }, hint) : null,
  );
}

/** Who acts, and why: it stands in the record of the saga. */
export function whoAndWhy(me) {
  return [
    me.name
      ? null
      : field(
          "Who you are",
          h("input", { name: "by", required: true, maxlength: 200, autocomplete: "name", value: localStorage.getItem("sagaflow-by") ?? "" }),
        ),
    field("Why", h("textarea", { name: "reason", required: true, maxlength: 1000, rows: 2, placeholder: "for those who read the record later" })),
  ];
}

/** The same, as a part of a request. */
export function signed(data) {
  const by = data.get("by");
  if (by) localStorage.setItem("sagaflow-by", by);
  return { reason: data.get("reason"), ...(by ? { by } : {}) };
}
