// What a person can do about a saga: the buttons, what they ask for, and what would come of it.

import { look, send } from "./api.js";
import { ask, field, signed, whoAndWhy } from "./dialogs.js";
import { badge, h, toast } from "./dom.js";

/** The buttons for the whole saga: those that have something to do as it stands. */
export function buttons(view, me) {
  const { summary } = view.saga;
  const may = (kind) => view.accepts.includes(kind);
  const isOver = ["completed", "compensated"].includes(summary.status);
  const found = [
    summary.status === "failed" && may("retry")
      ? act(view, me, { path: "retry", name: "Retry", lead: "It goes on where it stopped, with fresh attempts." })
      : null,
    may("pause") && !summary.is_paused && !isOver
      ? act(view, me, { path: "pause", name: "Pause", lead: "Nothing more of it begins; what runs is awaited." })
      : null,
    summary.is_paused ? act(view, me, { path: "resume", name: "Resume", lead: "It goes on where it was paused." }) : null,
    may("cancel") && !isOver
      ? act(view, me, { path: "cancel", name: "Cancel", confirm: "Cancel the saga", preview: "cancel", danger: true, lead: "It stops, and what it did is undone." })
      : null,
    may("compensate")
      ? act(view, me, { path: "compensate", name: "Compensate", preview: "compensate", danger: true, lead: "What it did is undone." })
      : null,
  ].filter(Boolean);
  return found.length ? h("div", { class: "actions", role: "group", "aria-label": "Acts on the saga" }, found) : null;
}

/** The buttons for one step. */
export function stepButtons(view, step, me) {
  const { summary } = view.saga;
  const isWaiting = step.kind === "wait" && step.waits_for;
  const isStuck = ["failed", "unknown", "compensation_failed"].includes(step.status);
  const isUnknown = step.status === "unknown";
  const isLeft = summary.status !== "started" && (isUnknown || step.status === "compensation_failed");
  const isLive = ["started", "compensating", "failed"].includes(summary.status);
  const of = (settings) => act(view, me, { ...settings, step: step.name, key: `${settings.path} ${step.name}` });
  const found = !isLive
    ? []
    : [
        isWaiting ? answer(view, step) : null,
        isWaiting ? refuse(view, step) : null,
        isStuck && summary.status === "failed"
          ? of({ path: "retry", name: "Retry this step", lead: "It is tried again, with fresh attempts.", fields: [newKey()], body: (data) => (data.get("new_key") ? { new_key: true } : {}) })
          : null,
        isUnknown ? of({ path: "resolve", name: "Say what became of it", lead: "It is believed: look at the service first.", fields: resolution(), body: resolved }) : null,
        isLeft ? of({ path: "mark-compensated", name: "It was undone by hand", lead: "It is believed: look at the service first." }) : null,
        isLeft ? of({ path: "skip-compensation", name: "Leave it done", lead: "What the step did shall stay." }) : null,
        summary.status !== "compensating" && ["pending", "started", "failed", "unknown"].includes(step.status)
          ? of({ path: "skip", name: "Leave it out", lead: "It is not done. What stands for its output, later steps take.", fields: [output()], body: given })
          : null,
      ].filter(Boolean);
  return found.length ? h("div", { class: "actions", role: "group", "aria-label": `Acts on step ${step.name}` }, found) : null;
}

function act(view, me, { path, name, confirm = name, lead, preview, danger = false, step, key = path, fields = [], body = () => ({}) }) {
  const { id } = view.saga.summary;
  const open = () => {
    const shown = preview ? h("div", { class: "preview", "aria-live": "polite" }, h("p", { class: "muted" }, "Looking what it would do…")) : null;
    const { button } = ask({
      title: step ? `${name}: ${step}` : `${name} ${id}`,
      confirm,
      lead,
      danger,
      fields: [shown, ...fields, ...whoAndWhy(me)],
      done: async (data) => {
        const wanted = { ...signed(data), ...(step ? { step } : {}) };
        const said = await send(`api/saga/${path}`, { id }, joined(wanted, body(data)));
        acted(said);
      },
    });
    if (preview) plan(id, preview, shown, button);
  };
  return h("button", { type: "button", class: danger ? "danger" : null, "data-key": `act ${key}`, onclick: open }, name);
}

function acted(said) {
  toast(said.why);
  document.dispatchEvent(new Event("acted"));
}

/** One JSON object; what stands in `Raw` is put in as it was written. */
function joined(wanted, more) {
  const parts = Object.entries({ ...wanted, ...more }).map(
    ([name, value]) => `${JSON.stringify(name)}:${value instanceof Raw ? value.text : JSON.stringify(value)}`,
  );
  return `{${parts.join(",")}}`;
}

class Raw {
  constructor(text) {
    JSON.parse(text); // what is no JSON is said here
    this.text = text;
  }
}

function raw(text) {
  try {
    return new Raw(text);
  } catch (error) {
    throw Object.assign(error, { problem: { detail: `That is no JSON: ${error.message}.`, remedy: 'Write text in quotes: "paid".' } });
  }
}

// ---------------------------------------------------------------- what they ask for

function output(hint = "JSON; empty for none") {
  return field("Output", h("textarea", { name: "output", rows: 2, spellcheck: "false", class: "code" }), hint);
}

function given(data) {
  const text = data.get("output").trim();
  return text ? { output: raw(text) } : {};
}

function newKey() {
  return h("label", { class: "check" }, h("input", { type: "checkbox", name: "new_key" }), "under a new key: certainly nothing happened under the old one");
}

function resolution() {
  const choice = (value, words) => h("label", { class: "check" }, h("input", { type: "radio", name: "happened", value, required: true }), words);
  return [h("fieldset", null, h("legend", null, "What became of it"), choice("yes", "it happened"), choice("no", "it did not happen")), output("JSON, if it happened and yielded something")];
}

function resolved(data) {
  const happened = data.get("happened") === "yes";
  return { happened, ...(happened ? given(data) : {}) };
}

function answer(view, step) {
  const { id } = view.saga.summary;
  const open = () =>
    ask({
      title: `Answer ${step.name}`,
      confirm: "Answer",
      lead: "What it waits for has happened.",
      fields: [output("JSON, of the type that the step waits for")],
      done: async (data) => {
        const said = await send("api/saga/complete-step", { id }, joined({ step: step.name }, { output: raw(data.get("output").trim() || "null") }));
        acted(said);
      },
    });
  return h("button", { type: "button", class: "primary", "data-key": `act answer ${step.name}`, onclick: open }, "Answer it");
}

function refuse(view, step) {
  const { id } = view.saga.summary;
  const open = () =>
    ask({
      title: `${step.name} will not happen`,
      confirm: "Let it fail",
      danger: true,
      lead: "What it waits for has not happened, and will not: the step fails.",
      fields: [field("Why", h("textarea", { name: "error", required: true, maxlength: 1000, rows: 2 }))],
      done: async (data) => {
        const said = await send("api/saga/fail-step", { id }, JSON.stringify({ step: step.name, error: data.get("error") }));
        acted(said);
      },
    });
  return h("button", { type: "button", "data-key": `act refuse ${step.name}`, onclick: open }, "It will not happen");
}

// ---------------------------------------------------------------- what would come of it

async function plan(id, kind, shown, button) {
  try {
    const found = await look("api/saga/plan", { id, act: kind });
    button.disabled = found.verdict === "refused";
    shown.replaceChildren(...preview(found));
  } catch (error) {
    shown.replaceChildren(h("p", { class: "muted" }, `What it would do cannot be told: ${error.message}`));
  }
}

function preview(plan) {
  const words = (undo) =>
    h(
      "span",
      { class: "undo" },
      h("b", null, undo.step),
      undo.compensation ? [" by ", h("code", null, undo.compensation)] : " undoes itself",
      undo.if_done ? h("em", null, " if it was done") : null,
      undo.is_running ? h("em", null, " (runs already)") : null,
    );
  return [
    h("p", { class: plan.verdict === "refused" ? "refused" : null }, plan.why),
    plan.awaited.length ? h("p", { class: "muted" }, `First these attempts come to their end: ${plan.awaited.map((one) => one.step).join(", ")}.`) : null,
    plan.asks.length ? h("p", { class: "muted" }, `Asked first what became of them: ${plan.asks.join(", ")}.`) : null,
    plan.waves.length ? h("h3", null, "Undone, in this order") : null,
    plan.waves.length ? h("ol", { class: "waves" }, plan.waves.map((wave) => h("li", null, wave.map(words)))) : null,
    plan.stays.length && plan.verdict !== "refused" ? h("h3", null, "Not undone") : null,
    plan.stays.length && plan.verdict !== "refused"
      ? h("ul", { class: "stays" }, plan.stays.map((kept) => h("li", null, h("b", null, kept.step), h("span", { class: "muted" }, ` ${kept.why}`))))
      : null,
    plan.ends ? h("p", null, "Then it is ", badge(plan.ends), plan.failure ? ` ${plan.failure}` : null) : null,
  ].filter(Boolean);
}
