// Bars over time, drawn as SVG. What they show is told in words too.

import { h, number, s } from "./dom.js";

const TODAY = new Intl.DateTimeFormat("en-GB", { timeStyle: "short" });
const OTHER_DAY = new Intl.DateTimeFormat("en-GB", { weekday: "short", hour: "2-digit", minute: "2-digit" });
const WIDTH = 600;
const HEIGHT = 130;

/**
 * How many sagas ended, in stretches of time.
 *
 * @param chart the stretches: since, width and the numbers by status
 * @param statuses which of them are shown, the lowest first
 */
export function bars(title, chart, statuses, now) {
  const shown = statuses.map((status) => [status, chart.ends[status]]);
  const count = shown[0][1].length;
  const sums = Array.from({ length: count }, (_, at) => shown.reduce((sum, [, numbers]) => sum + numbers[at], 0));
  const total = sums.reduce((sum, one) => sum + one, 0);
  const top = ceiling(Math.max(...sums));
  const told = shown.map(([status, numbers]) => `${number(numbers.reduce((a, b) => a + b, 0))} ${status}`).join(", ");
  return h(
    "figure",
    { class: "chart" },
    h("figcaption", null, h("span", null, title), legend(shown)),
    h(
      "div",
      { class: "plot" },
      h("div", { class: "scale", "aria-hidden": "true" }, h("span", null, number(top)), h("span", null, "0")),
      s(
        "svg",
        { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${told}` },
        [0, 0.5, 1].map((part) =>
          s("line", { class: "rule", x1: 0, x2: WIDTH, y1: 1 + part * (HEIGHT - 2), y2: 1 + part * (HEIGHT - 2) }),
        ),
        sums.map((_, at) => stretch(chart, shown, at, count, top)),
      ),
      total ? null : h("p", { class: "nothing" }, "nothing in this time"),
    ),
    h("div", { class: "axis", "aria-hidden": "true" }, h("span", null, clock(chart.since)), h("span", null, "now")),
  );
}

function stretch(chart, shown, at, count, top) {
  const step = WIDTH / count;
  const begins = new Date(new Date(chart.since).getTime() + at * chart.width * 1000);
  const words = shown.filter(([, numbers]) => numbers[at]).map(([status, numbers]) => `${number(numbers[at])} ${status}`);
  let y = HEIGHT - 1;
  const boxes = shown.map(([status, numbers]) => {
    if (!numbers[at]) return null;
    const height = Math.max((numbers[at] / top) * (HEIGHT - 4), 2);
    y -= height;
    return s("rect", { class: `fill-${status}`, x: at * step + step * 0.12, y, width: step * 0.76, height, rx: 1.5 });
  });
  return s(
    "g",
    null,
    s("rect", { class: "hit", x: at * step, y: 0, width: step, height: HEIGHT }),
    boxes,
    s("title", null, `${clock(begins)}: ${words.join(", ") || "nothing"}`),
  );
}

function legend(shown) {
  return h(
    "span",
    { class: "legend" },
    shown.map(([status, numbers]) =>
      h(
        "span",
        { class: `key-${status}` },
        `${status} `,
        h("b", null, number(numbers.reduce((a, b) => a + b, 0))),
      ),
    ),
  );
}

/** The next round number. */
function ceiling(value) {
  if (value <= 4) return 4;
  const size = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 2.5, 5, 10].map((part) => part * size).find((round) => round >= value);
}

function clock(moment) {
  const time = new Date(moment);
  return (time.toDateString() === new Date().toDateString() ? TODAY : OTHER_DAY).format(time);
}
