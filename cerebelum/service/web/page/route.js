// Where somebody is: `#/` with filters is the list, `#/executions/ID` one of them. Links and Back work on it.

/** The place that the address names. */
export function here() {
  const [path, query] = location.hash.replace(/^#/, "").split("?", 2);
  const match = /^\/executions\/([^/]+)$/.exec(path);
  let id = null;
  try {
    id = match && decodeURIComponent(match[1]);
  } catch {
    // What is no address leads to the list.
  }
  return { id, query: new URLSearchParams(query || "") };
}

/** The address of a place. */
export function link(id, query = {}) {
  const found = new URLSearchParams();
  for (const [name, given] of query instanceof URLSearchParams ? query : Object.entries(query)) {
    if (given !== null && given !== undefined && given !== "") found.append(name, given);
  }
  const text = found.toString();
  return `#/${id === null ? "" : `executions/${encodeURIComponent(id)}`}${text ? `?${text}` : ""}`;
}

/** Go to a place; with `replace`, Back does not lead to where somebody was before. */
export function go(address, replace = false) {
  if (address === location.hash) return;
  if (replace) {
    history.replaceState(history.state, "", address);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}

/** The place with other values of its query. */
export function changed(place, values) {
  const query = new URLSearchParams(place.query);
  for (const [name, given] of Object.entries(values)) {
    query.delete(name);
    if (given !== null && given !== undefined && given !== "") query.set(name, given);
  }
  return link(place.id, query);
}
