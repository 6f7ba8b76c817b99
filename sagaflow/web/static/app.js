// The page: which part of it is shown, in which colours, and to whom.

import { act, look } from "./api.js";
import { h, s, swap, toast, trouble } from "./dom.js";

const main = document.getElementById("main");
let current = new AbortController();
let known = null; // who asks, as soon as that is known

/** Show what the address says. What was shown before stops looking for news. */
async function show() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  const [path, query] = location.hash.replace(/^#/, "").split("?");
  const [, page, rest] = path.match(/^\/([^/]*)\/?(.*)$/) ?? [null, "", ""];
  document.querySelectorAll("nav [data-page]").forEach((link) => {
    const isHere = link.dataset.page === (page === "" ? "overview" : "sagas");
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  });
  const tools = { signal, known, query: new URLSearchParams(query), every: every(signal) };
  if (page === "saga") {
    const id = decodeURIComponent(rest);
    named(id);
    const { saga } = await import("./saga.js");
    await saga(main, { ...tools, id });
  } else if (page === "sagas") {
    named("Sagas");
    const { list } = await import("./list.js");
    await list(main, tools);
  } else {
    named("");
    const { overview } = await import("./overview.js");
    await overview(main, tools);
  }
}

/** Call the page by what it shows. */
async function named(part) {
  const title = await known.then((me) => me.title).catch(() => "SagaFlow");
  document.title = part ? `${part} – ${title}` : title;
}

/** Do something again and again, while somebody can see it. */
function every(signal) {
  return (milliseconds, work) => {
    const timer = setInterval(() => document.hidden || work(), milliseconds);
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
    if (signal.aborted) clearInterval(timer);
  };
}

// ---------------------------------------------------------------- who

async function begin() {
  known = look("api/me");
  show(); // asks for what it shows at the same time
  let me;
  try {
    me = await known;
  } catch (error) {
    current.abort();
    if (error.problem?.way_in !== "token") swap(main, trouble(error));
    return;
  }
  document.getElementById("title").textContent = me.title;
  document.getElementById("mode").hidden = !me.read_only;
  document.getElementById("start").hidden = me.read_only;
  document.getElementById("sign-out").hidden = me.way_in !== "token";
}

/** Ask a stranger for the token. */
function signIn() {
  current.abort();
  if (document.getElementById("sign-in")) return;
  swap(
    main,
    h(
      "form",
      {
        id: "sign-in",
        class: "card gate",
        onsubmit: async (event) => {
          event.preventDefault();
          const { target } = event;
          try {
            await act("api/sign-in", {}, { token: new FormData(target).get("token") });
            swap(main);
            await begin();
          } catch (error) {
            target.querySelector(".trouble")?.remove();
            target.append(trouble(error));
          }
        },
      },
      h("h1", null, "Sign in"),
      h("p", { class: "muted" }, "This service asks for its token."),
      h("input", { name: "token", type: "password", required: true, autocomplete: "current-password", "aria-label": "Token", placeholder: "Token" }),
      h("button", { class: "primary", type: "submit" }, "Sign in"),
    ),
  );
  main.querySelector("input").focus();
}

document.addEventListener("stranger", signIn);
document.getElementById("sign-out").addEventListener("click", async () => {
  await act("api/sign-out", {}, {});
  signIn();
});
document.getElementById("start").addEventListener("click", async () => {
  try {
    const { start } = await import("./start.js");
    await start();
  } catch (error) {
    toast(error.message, "bad");
  }
});

// ---------------------------------------------------------------- colours

const dark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

function drawTheme() {
  const button = document.getElementById("theme");
  const moon = "M15.5 12.5A6.5 6.5 0 0 1 7.5 4.5a6.5 6.5 0 1 0 8 8Z";
  const sun = "M10 6.4a3.6 3.6 0 1 0 0 7.2 3.6 3.6 0 0 0 0-7.2ZM10 1.8v1.6M10 16.6v1.6M1.8 10h1.6M16.6 10h1.6M4.2 4.2l1.1 1.1M14.7 14.7l1.1 1.1M4.2 15.8l1.1-1.1M14.7 5.3l1.1-1.1";
  button.replaceChildren(s("svg", { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" }, s("path", { d: isDark() ? sun : moon })));
}

document.getElementById("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("sagaflow-theme", theme);
  drawTheme();
});
dark.addEventListener("change", drawTheme);
drawTheme();

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address says which page is shown
  main.focus();
});
window.addEventListener("hashchange", () => {
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
  show();
});
await begin();
