// How everything is: numbers, what ended lately, what somebody should look at.

import { bars } from "./charts.js";
import { address, look } from "./api.js";
import { STATUSES, ago, h, number, sagaLink, sign, swap, trouble } from "./dom.js";

const EVERY = 3000;
const SPANS = [["hour", "Hour"], ["day", "Day"], ["week", "Week"]];

/** Show it in an element, again and again until the signal. */
export async function overview(element, { signal, every }) {
  let chosen = localStorage.getItem("sagaflow-span") ?? "hour";
  let shown = "";
  const refresh = async () => {
    try {
      const data = await look("api/overview", { span: chosen }, signal);
      const { at, ...rest } = data;
      const words = JSON.stringify([chosen, rest]);
      // Ages change by themselves: look every minute at what is otherwise the same.
      const mark = words + Math.floor(Date.now() / 60000);
      if (mark !== shown) swap(element, page(data, chosen, choose));
      shown = mark;
      performance.mark("sagaflow-shown");
    } catch (error) {
      if (signal.aborted || error.problem?.status === 401) return;
      shown = "";
      swap(element, trouble(error));
    }
  };
  const choose = (span) => {
    chosen = span;
    localStorage.setItem("sagaflow-span", span);
    refresh();
  };
  await refresh();
  every(EVERY, refresh);
}

function page(data, chosen, choose) {
  return [
    h("h1", { class: "hidden" }, "Overview"),
    h("section", { class: "tiles", "aria-label": "Sagas by status" }, STATUSES.map((status) => tile(status, data.totals))),
    h(
      "section",
      { class: "card" },
      h(
        "header",
        null,
        h("h2", null, "What ended"),
        h(
          "div",
          { class: "switch", role: "group", "aria-label": "Time shown" },
          SPANS.map(([span, name]) =>
            h(
              "button",
              {
                type: "button",
                "aria-pressed": String(span === chosen),
                "data-key": `span-${span}`,
                onclick: () => choose(span),
              },
              name,
            ),
          ),
        ),
      ),
      h(
        "div",
        { class: "charts" },
        bars("Throughput", data.chart, ["completed"]),
        bars("Failures and compensations", data.chart, ["compensated", "failed"]),
      ),
    ),
    h(
      "div",
      { class: "columns" },
      h(
        "div",
        { class: "stack" },
        attention("Failed", "Automatic work has ended with something left undone.", data.failed, "Nothing has failed."),
        byClass(data.sagas),
      ),
      attention("Longest under way", "Not ended yet, the oldest first.", data.oldest, "Nothing is under way."),
    ),
  ];
}

function tile(status, totals) {
  const count = totals[status] ?? 0;
  return h(
    "a",
    {
      class: `tile is-${status}${count ? "" : " none"}`,
      href: address("#/sagas", { status }),
      "data-key": `tile-${status}`,
    },
    h("span", { class: "name" }, sign(status), status),
    h("span", { class: "count" }, number(count)),
  );
}

function attention(title, words, found, otherwise) {
  return h(
    "section",
    { class: "card" },
    h("header", null, h("div", null, h("h2", null, title), h("p", { class: "muted" }, words))),
    found.length
      ? h("ul", { class: "rows" }, found.map((one) => row(title, one)))
      : h("p", { class: "empty" }, otherwise),
  );
}

function row(title, { saga, next }) {
  return h(
    "li",
    null,
    h(
      "a",
      { href: sagaLink(saga.id), "data-key": `${title} ${saga.id}` },
      sign(saga.is_paused ? "paused" : saga.status),
      h("span", { class: "what" }, h("b", null, saga.id), h("span", { class: "muted" }, ` ${saga.name}`)),
      h("span", { class: "when" }, ago(saga.created_at)),
      h("span", { class: "why" }, next),
    ),
  );
}

function byClass(sagas) {
  const used = STATUSES.filter((status) => sagas.some((one) => one.statuses[status]));
  return h(
    "section",
    { class: "card" },
    h("header", null, h("h2", null, "By saga")),
    sagas.length
      ? h(
          "div",
          { class: "scroll" },
          h(
            "table",
            { class: "counts" },
            h("thead", null, h("tr", null, h("th", null, "Saga"), used.map((status) => h("th", { title: status }, sign(status), h("span", { class: "hidden" }, status))), h("th", null, "all"))),
            h("tbody", null, sagas.map((one) => line(one, used))),
          ),
        )
      : h("p", { class: "empty" }, "No saga was started yet."),
  );
}

function line({ saga, statuses }, used) {
  const link = (text, status) =>
    h("a", { href: address("#/sagas", { saga, status }), "data-key": `${saga} ${status ?? "all"}` }, text);
  const all = Object.values(statuses).reduce((sum, count) => sum + count, 0);
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, link(saga)),
    used.map((status) => h("td", null, statuses[status] ? link(number(statuses[status]), status) : h("span", { class: "muted" }, "–"))),
    h("td", null, number(all)),
  );
}
