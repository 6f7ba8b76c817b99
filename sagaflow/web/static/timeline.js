// The attempts of each step as bars over time, and what went in, came out, and went wrong.

import { stepButtons } from "./acts.js";
import { badge, exact, h, payload, sagaLink, sign, span } from "./dom.js";

const TRACKS = [
  ["forward", "do", "done"],
  ["look", "probe", "probed"],
  ["undo", "undo", "undone"],
];

/** All steps of a saga. */
export function timeline(view, me) {
  const { steps } = view.saga;
  const times = steps.flatMap((step) => TRACKS.map(([track]) => step[track]).filter((track) => track?.started_at));
  const starts = times.map((track) => +new Date(track.started_at));
  const ends = times.map((track) => +new Date(track.ended_at ?? Date.now()));
  const from = Math.min(...starts);
  const room = Math.max(Math.max(...ends) - from, 1);
  return [
    times.length
      ? h(
          "div",
          { class: "ruler", "aria-hidden": "true" },
          h("span", null, exact(new Date(from))),
          h("span", null, `+ ${span(room / 2000)}`),
          h("span", null, `+ ${span(room / 1000)}`),
        )
      : null,
    h("div", { class: "timeline" }, steps.map((step) => row(view, step, me, from, room))),
  ];
}

function row(view, step, me, from, room) {
  const failed = ["failed", "compensation_failed", "unknown"].includes(step.status);
  return h(
    "details",
    { "data-key": `step ${step.name}`, class: step.name.includes("[") ? "element" : null },
    h(
      "summary",
      { "data-key": `summary ${step.name}` },
      sign(step.status),
      h("span", { class: "step" }, step.name),
      h("span", { class: "bars" }, TRACKS.map(([track, , words]) => bar(step, step[track], track, words, from, room))),
      h("span", { class: `brief${failed ? " bad" : ""}` }, brief(step)),
    ),
    h("div", { class: "inside" }, inside(view, step, me)),
  );
}

function bar(step, track, name, words, from, room) {
  if (!track?.started_at) return null;
  const start = +new Date(track.started_at);
  const end = +new Date(track.ended_at ?? Date.now());
  const box = h("span", {
    class: `bar bar-${name}${track.ended_at ? "" : " runs"}${track.error ? " tried" : ""}`,
    title: `${step.name} ${words}: ${span((end - start) / 1000)}, attempt ${track.attempts}`,
  });
  box.style.left = `${((start - from) / room) * 100}%`;
  box.style.width = `${((end - start) / room) * 100}%`;
  return box;
}

/** The most that can be said of a step in a few words. */
function brief(step) {
  const track = [step.undo, step.look, step.forward].find((one) => one?.attempts);
  if (step.waits_for) return step.waits_for;
  if (step.status === "pending" || !track) return step.status.replace("_", " ");
  const tries = track.attempts > 1 ? `${track.attempts} attempts` : "";
  const trouble = ["failed", "unknown", "compensation_failed"].includes(step.status);
  const error = trouble && track.error ? lastName(track.error.type) : "";
  return [step.status.replace("_", " "), error || (trouble ? track.reason : ""), tries].filter(Boolean).join(" · ");
}

function lastName(type) {
  return type.split(".").at(-1);
}

function inside(view, step, me) {
  const inputs = Object.entries(step.input);
  return [
    h(
      "dl",
      { class: "facts" },
      fact("Status", badge(step.status)),
      fact("Key", h("code", null, step.key)),
      fact("Method", h("code", null, step.action)),
      fact("Undone by", step.compensation && h("code", null, step.compensation)),
      fact("Probe", step.probe && h("code", null, step.probe)),
      fact("After", step.after.join(", ")),
      fact("Queue", step.queue),
      fact("Sub-saga", step.child && h("a", { href: sagaLink(step.child) }, step.child)),
      fact("Given up", step.wait_until && exact(step.wait_until)),
    ),
    me.read_only || !view.is_known ? null : stepButtons(view, step, me),
    h(
      "div",
      { class: "payloads" },
      "item" in step ? titled("Works on", payload(step.item)) : null,
      inputs.map(([name, value]) => titled(`Takes ${name}`, payload(value))),
      "output" in step ? titled("Output", payload(step.output)) : null,
      step.late_outputs.map((value) => titled("Late output", payload(value))),
    ),
    TRACKS.map(([name, title]) => (step[name] ? attempts(title, step[name]) : null)),
  ];
}

function fact(name, value) {
  return value ? h("div", null, h("dt", null, name), h("dd", null, value)) : null;
}

function titled(title, ...children) {
  return h("div", null, h("h4", null, title), ...children);
}

function attempts(title, track) {
  const errors = [track.error];
  if (track.first_error && JSON.stringify(track.first_error) !== JSON.stringify(track.error)) errors.unshift(track.first_error);
  return h(
    "div",
    { class: "attempts" },
    h(
      "p",
      null,
      h("b", null, title),
      ` ${track.attempts} ${track.attempts === 1 ? "attempt" : "attempts"}`,
      track.limit ? h("span", { class: "muted" }, ` of ${track.limit} that may fail`) : null,
      track.losses ? `, ${track.losses} lost with a worker` : null,
      track.started_at ? h("span", { class: "muted" }, `, the latest ${exact(track.started_at)}`) : null,
      track.ended_at ? h("span", { class: "muted" }, `, ${span((new Date(track.ended_at) - new Date(track.started_at)) / 1000)}`) : null,
      track.worker ? h("span", { class: "muted" }, `, by ${track.worker}`) : null,
      track.reason ? h("span", { class: "pill" }, track.reason) : null,
    ),
    errors.filter(Boolean).map((error, at) =>
      h(
        "div",
        { class: "error" },
        h("p", null, errors.length > 1 ? h("span", { class: "muted" }, at ? "latest " : "first ") : null, h("b", null, error.type), " ", error.message),
        error.traceback ? h("details", null, h("summary", null, "Where it came from"), h("pre", { class: "payload" }, error.traceback)) : null,
      ),
    ),
  );
}
