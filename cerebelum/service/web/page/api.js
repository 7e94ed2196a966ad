// Asks the service. Whatever is refused is an ApiError, and a service that does not answer is Lost.

import { setClock } from "./display.js";

const KEY = "cerebelum-token";
let askForToken = null;
let asking = null;

/** What the service refused, with its reason and its hint. */
export class ApiError extends Error {
  constructor(status, body) {
    const facts = body?.error || {};
    super(facts.message || `the service answered with status ${status}`);
    this.status = status;
    this.hint = [facts.where, facts.hint].filter(Boolean).join(" · ") || null;
    this.problems = facts.problems || [];
    this.plan = body?.plan || null;
  }
}

/** The service does not answer. */
export class Lost extends Error {
  constructor() {
    super("the service does not answer");
    this.hint = "it may be starting again; nothing is lost";
  }
}

/** Say who asks for a token: `ask(wrong)` gives one. */
export function onUnauthenticated(ask) {
  askForToken = ask;
}

/** Forget the token. */
export const forgetToken = () => sessionStorage.removeItem(KEY);

/** Whether there is one. */
export const hasToken = () => sessionStorage.getItem(KEY) !== null;

function url(path, query) {
  const found = new URL(path, document.baseURI);
  found.hash = "";
  for (const [name, given] of Object.entries(query || {})) {
    for (const one of [given].flat()) {
      if (one !== null && one !== undefined && one !== "" && one !== false) found.searchParams.append(name, one);
    }
  }
  return found;
}

/** A response that is not refused. Asks for a token as often as it takes. */
export async function ask(path, { query, headers, ...how } = {}) {
  for (;;) {
    const token = sessionStorage.getItem(KEY);
    const sent = { Accept: "application/json", ...headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    let response;
    try {
      response = await fetch(url(path, query), {
        ...how,
        headers: sent,
        cache: "no-store",
        credentials: "same-origin",
      });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Lost();
    }
    const date = Date.parse(response.headers.get("Date"));
    if (date) setClock(date + 500);
    if (response.ok) return response;
    if (response.status !== 401 || !askForToken) throw new ApiError(response.status, await body(response));
    response.body?.cancel();
    if (token === sessionStorage.getItem(KEY)) {
      asking ??= askForToken(token !== null).finally(() => {
        asking = null;
      });
      sessionStorage.setItem(KEY, await asking);
    }
  }
}

async function body(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

/** What the service says about something. */
export async function get(path, query, signal) {
  const response = await ask(path, { query, signal });
  try {
    return await response.json();
  } catch (error) {
    throw error.name === "AbortError" ? error : new Lost();
  }
}

/** Have the service do something. */
export async function post(path, given) {
  const headers = { "Content-Type": "application/json" };
  return body(await ask(path, { method: "POST", headers, body: JSON.stringify(given) }));
}

/** The path of an execution, or of something about it. */
export const of = (id, what = "") => `api/v1/executions/${encodeURIComponent(id)}${what && `/${what}`}`;
