// The sagas, newest first, by filters that stand in the address.

import { address, look } from "./api.js";
import { STATUSES, ago, badge, h, number, sagaLink, sign, swap, tagLinks, tagsIn, trouble } from "./dom.js";

const EVERY = 3000;
const AGES = [["", "of any age"], ["60", "older than a minute"], ["3600", "older than an hour"], ["86400", "older than a day"], ["604800", "older than a week"]];

/** Show them in an element, again and again until the signal. */
export async function list(element, { signal, every, query }) {
  const filters = {
    saga: query.getAll("saga"),
    status: query.getAll("status"),
    tag: query.getAll("tag"),
    search: query.get("search") ?? "",
    older_than: query.get("older_than") ?? "",
    cursor: query.get("cursor") ?? "",
  };
  const results = h("div", { class: "results", "aria-live": "off" });
  let types = [];
  try {
    types = await look("api/types", {}, signal);
  } catch {
    // Without the names of classes one can still search; the results will say what is wrong.
  }
  swap(element, h("h1", { class: "hidden" }, "Sagas"), form(filters, types), results);
  let shown = "";
  const refresh = async () => {
    try {
      const page = await look("api/sagas", { ...filters, limit: 50 }, signal);
      const words = JSON.stringify(page) + Math.floor(Date.now() / 60000);
      if (words !== shown) swap(results, table(page, filters));
      shown = words;
      performance.mark("sagaflow-shown");
    } catch (error) {
      if (signal.aborted || error.problem?.status === 401) return;
      shown = "";
      swap(results, trouble(error));
    }
  };
  await refresh();
  every(EVERY, refresh);
}

function go(filters, changes) {
  location.hash = address("#/sagas", { ...filters, cursor: "", ...changes });
}

function form(filters, types) {
  const names = [...new Set([...types.map((one) => one.name), ...filters.saga])].sort();
  return h(
    "form",
    {
      class: "filters card",
      role: "search",
      onsubmit: (event) => {
        event.preventDefault();
        const data = new FormData(event.target);
        go(filters, { search: data.get("search").trim(), tag: tagsIn(data.get("tags")) });
      },
    },
    h("input", {
      type: "search",
      name: "search",
      placeholder: "Id, or how it begins",
      "aria-label": "Search by id",
      value: filters.search,
      "data-key": "search",
    }),
    h("input", {
      name: "tags",
      placeholder: "Tags, all of them",
      "aria-label": "Tags",
      value: filters.tag.join(" "),
      "data-key": "tags",
    }),
    h("button", { type: "submit", hidden: true }), // without one, Enter would do nothing where there are two fields
    h(
      "select",
      {
        "aria-label": "Saga",
        "data-key": "saga",
        onchange: (event) => go(filters, { saga: event.target.value ? [event.target.value] : [] }),
      },
      h("option", { value: "" }, "all sagas"),
      names.map((name) => h("option", { value: name, selected: filters.saga.includes(name) }, name)),
    ),
    h(
      "select",
      { "aria-label": "Age", "data-key": "age", onchange: (event) => go(filters, { older_than: event.target.value }) },
      AGES.map(([value, words]) => h("option", { value, selected: value === filters.older_than }, words)),
    ),
    h("div", { class: "chips", role: "group", "aria-label": "Status" }, STATUSES.map((status) => chip(filters, status))),
  );
}

function chip(filters, status) {
  const isOn = filters.status.includes(status);
  const others = filters.status.filter((one) => one !== status);
  return h(
    "button",
    {
      type: "button",
      class: `chip is-${status}`,
      "aria-pressed": String(isOn),
      "data-key": `chip-${status}`,
      onclick: () => go(filters, { status: isOn ? others : [...others, status] }),
    },
    sign(status),
    status,
  );
}

function table(page, filters) {
  if (!page.sagas.length) return h("p", { class: "card empty" }, "No saga is like that.");
  return [
    h(
      "table",
      { class: "sagas card" },
      h(
        "thead",
        null,
        h("tr", null, ["Status", "Id", "Saga", "Steps", "What is the matter", "Started"].map((name) => h("th", null, name))),
      ),
      h("tbody", null, page.sagas.map((saga) => row(saga, filters))),
    ),
    h(
      "nav",
      { class: "pages", "aria-label": "Pages of the list" },
      filters.cursor ? h("a", { class: "button", href: address("#/sagas", { ...filters, cursor: "" }) }, "« Newest") : null,
      page.cursor
        ? h("a", { class: "button", "data-key": "older", href: address("#/sagas", { ...filters, cursor: page.cursor }) }, "Older ›")
        : h("span", { class: "muted" }, filters.search && page.sagas.length >= 50 ? "these are the first" : "these are the last"),
    ),
  ];
}

function row(saga, filters) {
  const withTag = (tag) => address("#/sagas", { ...filters, cursor: "", tag: [...new Set([...filters.tag, tag])] });
  return h(
    "tr",
    null,
    h("td", { class: "status" }, badge(saga.is_paused ? "paused" : saga.status)),
    h("td", { class: "id" }, h("a", { href: sagaLink(saga.id), "data-key": `saga ${saga.id}` }, saga.id)),
    h("td", { class: "name muted" }, saga.name, tagLinks(saga, withTag)),
    h("td", { class: "steps" }, progress(saga.steps)),
    h("td", { class: "why muted" }, saga.status === "completed" ? "" : saga.reason || saga.waits_for.join(", ")),
    h("td", { class: "when muted" }, ago(saga.created_at)),
  );
}

const ORDER = ["completed", "skipped", "compensated", "compensating", "started", "unknown", "failed", "compensation_failed", "pending"];

/** The steps of a saga as one small bar. */
export function progress(steps) {
  const found = ORDER.filter((status) => steps[status]);
  const words = found.map((status) => `${number(steps[status])} ${status.replace("_", " ")}`).join(", ");
  return h(
    "span",
    { class: "progress", role: "img", "aria-label": words || "no steps", title: words },
    found.map((status) => {
      const part = h("span", { class: `fill-${status}` });
      part.style.flexGrow = steps[status];
      return part;
    }),
  );
}
