// Asking the service. Addresses are relative, so the page works wherever it is mounted.

/** An answer that is a problem; `problem` is its body: detail, remedy, and what else it says. */
export class Problem extends Error {
  constructor(problem) {
    super(problem.detail || "the service does not answer");
    this.problem = problem;
  }
}

/** The address of something, with those parameters that have a value. */
export function address(path, parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") query.append(name, one);
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

async function ask(path, parameters, options) {
  let response;
  try {
    response = await fetch(address(path, parameters), {
      credentials: "same-origin",
      ...options,
      headers: { "X-Requested-With": "sagaflow", ...options.headers },
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ status: 0, detail: "The service does not answer.", remedy: "Is it running?" });
  }
  if (!response.ok) {
    const problem = await response.json().catch(() => ({ detail: response.statusText }));
    if (response.status === 401 && problem.way_in === "token") document.dispatchEvent(new Event("stranger"));
    throw new Problem({ status: response.status, ...problem });
  }
  return response;
}

/** What there is, as data; null if there is nothing new. */
export async function look(path, parameters, signal) {
  const response = await ask(path, parameters, { signal });
  return response.status === 204 ? null : response.json();
}

/** What there is, as text. */
export async function text(path, parameters, signal) {
  return (await ask(path, parameters, { signal })).text();
}

/** Have something done. */
export async function act(path, parameters, body) {
  const response = await ask(path, parameters, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "Content-Type": "application/json" },
  });
  return response.status === 204 ? null : response.json();
}

/** The same as `act`, for a body that is JSON already, so that no number in it is rounded on the way. */
export async function send(path, parameters, body) {
  const response = await ask(path, parameters, {
    method: "POST",
    body,
    headers: { "Content-Type": "application/json" },
  });
  return response.json();
}
