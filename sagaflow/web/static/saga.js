// One saga, live: where it stands, what comes next, its graph, its attempts, what people did to it.

import { buttons } from "./acts.js";
import { address, look, text } from "./api.js";
import { ago, badge, exact, h, payload, sagaLink, sign, span, swap, tagLinks, trouble } from "./dom.js";
import { timeline } from "./timeline.js";

const PATIENCE = 10; // seconds
const AT_REST = 3000;
const AFTER_TROUBLE = 3000;

/** Show it in an element, and each newer state of it until the signal. */
export async function saga(element, { signal, id, known }) {
  let view = null;
  while (!signal.aborted) {
    try {
      const newer = await look("api/saga", { id, after: view?.saga.revision, wait: PATIENCE }, signal);
      if (newer) {
        const [drawing, me] = await Promise.all([text("api/saga/graph", { id }, signal).then(graph), known]);
        view = newer;
        swap(element, page(view, drawing, me));
        performance.mark("sagaflow-shown");
      } else if (isAtRest(view)) {
        await pause(AT_REST, signal);
      } else {
        view = null; // what is said of times has changed all the same
      }
    } catch (error) {
      if (signal.aborted || error.problem?.status === 401) return;
      swap(element, trouble(error));
      view = null;
      await pause(AFTER_TROUBLE, signal);
    }
  }
}

function isAtRest(view) {
  return ["completed", "compensated", "failed"].includes(view.saga.summary.status);
}

function pause(milliseconds, signal) {
  return new Promise((done) => {
    const timer = setTimeout(done, milliseconds);
    const end = () => (clearTimeout(timer), done());
    signal.addEventListener("abort", end, { once: true });
    document.addEventListener("acted", end, { once: true }); // whoever acts wants to see it at once
  });
}

/** The drawing, without the style that it brings: the policy of the page allows none, and it has that as a file. */
function graph(source) {
  const plain = source.replace(/<style>[^<]*<\/style>/, "");
  return document.importNode(new DOMParser().parseFromString(plain, "image/svg+xml").documentElement, true);
}

function page(view, drawing, me) {
  const { saga } = view;
  const { summary } = saga;
  drawing.addEventListener("click", (event) => {
    const name = event.target.closest("[data-step]")?.dataset.step;
    const step = name && document.querySelector(`details[data-key="step ${CSS.escape(name)}"]`);
    if (step) {
      step.open = true;
      step.scrollIntoView({ behavior: "smooth", block: "center" });
    }
  });
  return [
    head(summary, saga),
    me.read_only ? null : view.is_known ? buttons(view, me) : unknown(summary),
    h(
      "div",
      { class: "halves" },
      h(
        "div",
        { class: "stack" },
        section("What comes next", next(view.waits)),
        section("Started with", payload(saga.context), facts(saga)),
        saga.acts.length ? section("What people did", acts(saga.acts)) : null,
        saga.children.length ? section("Sub-sagas", h("ul", { class: "rows" }, saga.children.map(child))) : null,
      ),
      section("Steps", h("div", { class: "graph", tabindex: "0", role: "group", "aria-label": "Graph of the steps" }, drawing)),
    ),
    section(["Timeline", legend()], timeline(view, me)),
  ];
}

function legend() {
  const tracks = [["forward", "do"], ["look", "probe"], ["undo", "undo"]];
  return h("span", { class: "legend" }, tracks.map(([track, words]) => h("span", { class: `key-${track}` }, words)));
}

function section(title, ...children) {
  const [words, ...beside] = [title].flat();
  return h("section", { class: "card" }, h("header", null, h("h2", null, words), ...beside), ...children);
}

function head(summary, saga) {
  const took = (new Date(summary.completed_at ?? Date.now()) - new Date(summary.created_at)) / 1000;
  return h(
    "header",
    { class: "hero" },
    h(
      "div",
      { class: "line" },
      badge(summary.status),
      summary.is_paused ? badge("paused") : null,
      summary.is_committed ? h("span", { class: "pill" }, "past its pivot") : null,
      summary.is_overdue ? h("span", { class: "pill warn" }, "past its deadline") : null,
    ),
    h("h1", null, summary.id),
    h(
      "p",
      { class: "muted" },
      summary.name,
      " · started ",
      ago(summary.created_at),
      summary.completed_at ? ` · took ${span(took)}` : null,
      summary.deadline_at && !summary.completed_at ? [" · deadline ", ago(summary.deadline_at)] : null,
      saga.summary.parent
        ? [" · a part of ", h("a", { href: sagaLink(summary.parent), "data-key": "parent" }, summary.parent)]
        : null,
    ),
    summary.tags.length ? h("p", { class: "line" }, tagLinks(summary, (tag) => address("#/sagas", { tag }))) : null,
    summary.reason ? h("p", { class: `reason is-${summary.status}` }, summary.reason) : null,
  );
}

function unknown(summary) {
  return h("p", { class: "note" }, `This service does not have ${summary.name}, so nothing can be done about it from here.`);
}

function next(waits) {
  return h(
    "ul",
    { class: "waits" },
    waits.map((wait) => h("li", { class: `wait-${wait.waits_for}` }, wait.text)),
  );
}

function facts(saga) {
  const shown = [
    ["Revision", String(saga.revision)],
    ["Locks", saga.locks.join(", ")],
    ["Begins", saga.summary.start_at && exact(saga.summary.start_at)],
    ["Ended", saga.summary.completed_at && exact(saga.summary.completed_at)],
    ["Forgotten", saga.expires_at && exact(saga.expires_at)],
  ].filter(([, value]) => value);
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value))));
}

function acts(found) {
  return h(
    "ol",
    { class: "acts" },
    found.map((act) =>
      h(
        "li",
        null,
        h("b", null, act.what),
        act.step ? [" of step ", h("b", null, act.step)] : null,
        h("span", { class: "muted" }, " by "),
        act.by,
        h("span", { class: "muted" }, " · ", ago(act.at)),
        h("q", null, act.reason),
      ),
    ),
  );
}

function child({ summary }) {
  return h(
    "li",
    null,
    h(
      "a",
      { href: sagaLink(summary.id), "data-key": `child ${summary.id}` },
      sign(summary.status),
      h("span", { class: "what" }, h("b", null, summary.id), h("span", { class: "muted" }, ` ${summary.name}`)),
      h("span", { class: "when" }, summary.status),
      summary.reason ? h("span", { class: "why" }, summary.reason) : null,
    ),
  );
}
