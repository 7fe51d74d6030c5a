// Asks the node: requests, streams of events, and the token when it wants one.
//
// What must stay true: what a node sends is data; nothing of it becomes markup or code. The token
// stays in this tab.

const TOKEN = "qadom-token";

/** What the node refused, with its reason and advice. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `the node answered ${status}`);
    this.status = status;
    this.reason = String(body?.type ?? "").split(":").pop();
    this.advice = body?.advice;
    this.receipt = body?.receipt;
  }
}

/** The path of the given parts, each of which may hold anything. */
export function path(...parts) {
  const escaped = parts.map((part) => encodeURIComponent(part));
  // A part of dots alone would be taken for a step upward.
  return "/" + escaped.map((part) => (/^\.+$/.test(part) ? part.replace(/\./g, "%2E") : part)).join("/");
}

/** The headers that show the token, if there is one. */
export function proof() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Whether links alone can reach the node. */
export const isOpen = () => !sessionStorage.getItem(TOKEN);

let asking = null;

/** Asks the person for the token; once at a time, however many requests wait for it. */
function askToken() {
  asking ??= new Promise((resolve) => {
    const dialog = document.getElementById("token-dialog");
    const field = document.getElementById("token");
    const problem = document.getElementById("token-problem");
    problem.hidden = isOpen();
    problem.textContent = "That is not its token.";
    document.getElementById("token-form").addEventListener(
      "submit",
      () => {
        sessionStorage.setItem(TOKEN, field.value.trim());
        field.value = "";
        asking = null;
        resolve();
      },
      { once: true },
    );
    dialog.addEventListener("cancel", (event) => event.preventDefault(), { once: true });
    dialog.showModal();
  });
  return asking;
}

async function send(method, url, { body, json, accept, signal } = {}) {
  for (;;) {
    const headers = { Accept: accept ?? "application/json", ...proof() };
    const content = json === undefined ? body : JSON.stringify(json);
    const response = await fetch(url, { method, headers, body: content, signal, cache: "no-store" });
    if (response.ok) return response;
    if (response.status === 401) {
      await askToken();
      continue;
    }
    throw new Problem(response.status, await response.json().catch(() => null));
  }
}

/** Sends a request and returns the JSON of its answer. */
export async function ask(method, url, options) {
  return (await send(method, url, options)).json();
}

/** Takes a text of server-sent events apart as it grows. */
export class Events {
  #rest = "";

  /** The events that a further piece of text completes. */
  push(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop();
    const events = [];
    for (const block of blocks) {
      let name = "message";
      const data = [];
      for (const line of block.split("\n")) {
        if (line.startsWith("event:")) name = line.slice(6).trim();
        if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
      }
      if (data.length) events.push({ name, data: JSON.parse(data.join("\n")) });
    }
    return events;
  }
}

/** Goes through a stream of events as they come; `opened` is told when it stands. */
export async function* follow(method, url, { json, signal, opened } = {}) {
  const response = await send(method, url, { json, signal, accept: "text/event-stream" });
  opened?.(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  const events = new Events();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const event of events.push(value)) {
        if (event.name === "problem") throw new Problem(event.data.status, event.data);
        yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** A text of Base64 as bytes. */
export function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** Bytes as people read them: text where they are text, else hex digits. */
export function readable(content) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return "hex:" + Array.from(content, (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}
