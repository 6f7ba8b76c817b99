// Making elements, and saying things the way that people read them.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Properties that begin with "on" are listeners; null and false are left out. */
export function h(tag, properties, ...children) {
  return filled(document.createElement(tag), properties, children);
}

/** The same for drawings. */
export function s(tag, properties, ...children) {
  return filled(document.createElementNS(SVG, tag), properties, children);
}

function filled(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Show something else in an element; who had the focus there keeps it, and what was unfolded stays so. */
export function swap(element, ...children) {
  const focus = element.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const folds = new Map([...element.querySelectorAll("details[data-key]")].map((fold) => [fold.dataset.key, fold.open]));
  const fresh = h("div", null, ...children);
  for (const fold of fresh.querySelectorAll("details[data-key]")) {
    if (folds.has(fold.dataset.key)) fold.open = folds.get(fold.dataset.key);
  }
  element.replaceChildren(...fresh.childNodes);
  if (focus !== undefined) element.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

// ---------------------------------------------------------------- statuses

const CHECK = "M-3.6 .3-1.1 2.9 3.7-2.6";
const CROSS = "M-2.8-2.8 2.8 2.8M2.8-2.8-2.8 2.8";
const BACK = "M-.6-4.2-3.4-1.6-.6 1M-3.2-1.6H1.2A2.6 2.6 0 0 1 1.2 3.6H-1.6";
const PLAY = "M-1.8-3.1 3.2 0-1.8 3.1Z";
const SIGNS = {
  scheduled: "M0-3.2V0L2.2 1.6",
  started: PLAY,
  compensating: BACK,
  completed: CHECK,
  compensated: BACK,
  failed: CROSS,
  pending: "M-3.4 0H-3.3M0 0H.1M3.4 0H3.5",
  skipped: "M-3.2 0H3.2",
  unknown: "M-2-1.9A2.1 2.1 0 1 1 .6.2C.1.6 0 .9 0 1.5M0 3.6V3.7",
  compensation_failed: CROSS,
  paused: "M-1.8-3V3M1.8-3V3",
};

/** The order in which statuses are told. */
export const STATUSES = ["started", "compensating", "failed", "completed", "compensated", "scheduled"];

/** A sign for a status, beside its colour. */
export function sign(status) {
  return s(
    "svg",
    { class: `sign is-${status}`, viewBox: "-8 -8 16 16", width: 16, height: 16, "aria-hidden": "true" },
    s("circle", { r: 8 }),
    s("path", { d: SIGNS[status] ?? SIGNS.pending }),
  );
}

/** A status, as sign and word. */
export function badge(status) {
  return h("span", { class: `badge is-${status}` }, sign(status), status.replace("_", " "));
}

// ---------------------------------------------------------------- words

// Made once: to make one takes longer than to write a whole table with it.
const NUMBER = new Intl.NumberFormat("en");
const EXACT = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A number with its thousands apart. */
export function number(value) {
  return NUMBER.format(value);
}

const UNITS = [[86400, "d"], [3600, "h"], [60, "min"]];

/** A stretch of time, in at most two units. */
export function span(seconds) {
  if (seconds < 0.0995) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`;
  let left = Math.round(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(left / size);
    if (count) parts.push(`${count} ${unit}`);
    left -= count * size;
  }
  if (left) parts.push(`${left} s`);
  return parts.slice(0, 2).join(" ");
}

/** How long ago something was; the whole of it when asked for. */
export function ago(iso) {
  if (!iso) return h("span", { class: "muted" }, "–");
  const seconds = (Date.now() - new Date(iso)) / 1000;
  const rough = seconds >= 60 ? span(seconds).split(" ").slice(0, 2).join(" ") : span(Math.max(1, Math.round(seconds)));
  const words = seconds < -1 ? `in ${span(-seconds)}` : seconds < 1 ? "just now" : `${rough} ago`;
  return h("time", { datetime: iso, title: exact(iso) }, words);
}

/** A moment, to the second, as the reader's clock shows it. */
export function exact(iso) {
  return EXACT.format(new Date(iso));
}

/** The address of the page of a saga. */
export function sagaLink(id) {
  return `#/saga/${encodeURIComponent(id)}`;
}

/** The tags in a text, with spaces or commas between them. */
export function tagsIn(text) {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** The tags of a saga, each with the address of the sagas that have it. */
export function tagLinks({ id, tags }, link) {
  return tags.map((tag) => h("a", { class: "pill tag", href: link(tag), title: tag, "data-key": `tag ${tag} of ${id}` }, tag));
}

/** A payload, as text that can be read. */
export function payload(value) {
  const shown = typeof value === "string" ? JSON.stringify(value) : JSON.stringify(value, null, 2);
  return h("pre", { class: "payload", tabindex: "0" }, shown ?? "null");
}

/** A word to whoever acted, which goes away by itself. */
export function toast(text, kind = "good") {
  const box = h("div", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), 6000);
}

/** What is wrong, and what to do about it. */
export function trouble(error) {
  const problem = error.problem ?? { detail: String(error) };
  return h(
    "div",
    { class: "trouble", role: "alert" },
    h("strong", null, problem.detail),
    problem.remedy ? h("span", null, problem.remedy) : null,
  );
}
