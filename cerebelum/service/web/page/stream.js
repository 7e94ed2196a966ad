// Server-sent events, read with fetch() so that the token goes along; connected again, from where it was, if it breaks.

import { ApiError, ask } from "./api.js";

const DEAF = 40_000;
const waits = [200, 500, 1000, 2000, 4000, 8000];
const lost = new Set();
const trying = new Set();
let show = () => {};

/** Say what shows whether the connection is lost: `show(true)`. */
export function onConnection(callback) {
  show = callback;
}

/** Try to connect again now. */
export function tryNow() {
  for (const wake of trying) wake();
}

/** Takes apart a stream of events as its text comes in. */
export class Parser {
  constructor(hear) {
    this.hear = hear;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.type = "message";
    this.data = [];
    this.id = null;
  }

  feed(text) {
    const lines = (this.rest + text).split(/\r\n|\n/);
    this.rest = lines.pop();
    for (const line of lines) this.line(line);
  }

  line(line) {
    if (line === "") {
      if (this.data.length) this.hear({ type: this.type, data: this.data.join("\n"), id: this.id });
      this.clear();
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.type = value;
    else if (name === "data") this.data.push(value);
    else if (name === "id") this.id = value;
  }
}

/**
 * Follow a stream until it is closed. `query()` is asked at every connection, `hear(type, data)` told every event, and
 * `opened(again)` every connection. `hear` returning false ends it. While nobody looks at the page it is not connected.
 */
export function follow(path, { query, hear, opened, failed }) {
  const me = {};
  let closed = false,
    lastId = null,
    connection = null,
    failures = 0,
    times = 0;

  const wait = (ms) =>
    new Promise((wake) => {
      const done = () => {
        clearTimeout(timer);
        trying.delete(done);
        wake();
      };
      const timer = setTimeout(done, ms);
      trying.add(done);
    });
  const visible = () =>
    new Promise((wake) => {
      if (!document.hidden) return wake();
      document.addEventListener("visibilitychange", wake, { once: true });
    });
  const hide = () => {
    if (document.hidden) connection?.abort();
  };
  document.addEventListener("visibilitychange", hide);

  const read = async () => {
    connection = new AbortController();
    let watchdog = setTimeout(() => connection.abort(), DEAF);
    try {
      const headers = { Accept: "text/event-stream", ...(lastId === null ? {} : { "Last-Event-ID": lastId }) };
      const response = await ask(path, { query: query?.(), headers, signal: connection.signal });
      if (closed) return;
      failures = 0;
      lost.delete(me);
      show(lost.size > 0);
      opened?.(times++ > 0);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new Parser(({ type, data, id }) => {
        if (id) lastId = id;
        if (!closed && hear(type, JSON.parse(data)) === false) close();
      });
      for (;;) {
        const { done, value } = await reader.read();
        if (done || closed) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => connection.abort(), DEAF);
        parser.feed(value);
      }
    } finally {
      clearTimeout(watchdog);
      connection.abort();
    }
  };

  const run = async () => {
    while (!closed) {
      await visible();
      try {
        await read();
      } catch (error) {
        if (!closed && error instanceof ApiError && error.status < 500) {
          close();
          failed?.(error);
        }
      }
      if (closed || document.hidden) continue;
      if (failures > 0) {
        lost.add(me);
        show(true);
      }
      await wait(waits[Math.min(failures++, waits.length - 1)] * (0.8 + Math.random() * 0.4));
    }
  };

  const close = () => {
    closed = true;
    connection?.abort();
    document.removeEventListener("visibilitychange", hide);
    lost.delete(me);
    show(lost.size > 0);
  };
  run();
  return { close };
}
