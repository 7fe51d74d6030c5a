// Files: dropped into the page, fetched, and followed while they move.
//
// What must stay true: a transfer is shown as far as the node has verified it, whoever began it; one
// that was begun here ends when it is cancelled here.

import { $, cell, complain, element, size } from "./elements.js";
import { ask, Events, follow, isOpen, path, Problem, proof } from "./api.js";
import { handle } from "./forms.js";

/** Chunks have this many bytes. */
const CHUNK = 262144;

/** The line of a transfer: what it is, how far it is. */
class Transfer {
  constructor(title, cancel) {
    this.bar = element("progress", { max: 1, "aria-label": title });
    this.text = element("span", { class: "quiet", role: "status" }, "beginning");
    this.button = element("button", { type: "button", onclick: cancel }, "Cancel");
    this.line = element("li", {}, element("div", {}, title), this.bar, this.text, " ", this.button);
    $("transfers").prepend(this.line);
  }

  show({ phase, done, size: whole, rate, peers }) {
    if (whole) this.bar.value = done / whole;
    const of = whole ? ` of ${size(whole)}` : "";
    const speed = rate ? `, ${size(rate)}/s` : "";
    const from = peers ? `, ${peers} nodes` : "";
    this.text.textContent = `${phase}: ${size(done)}${of}${speed}${from}`;
  }

  done(text) {
    this.bar.value = 1;
    this.text.textContent = text;
    this.button.textContent = "Clear";
    this.button.onclick = () => this.line.remove();
  }

  failed(problem) {
    this.button.remove();
    complain(this.text, problem);
  }
}

async function fetchFile(file) {
  const stop = new AbortController();
  const transfer = new Transfer(file, () => stop.abort());
  try {
    const url = path("v1", "files", file, "fetch");
    for await (const { data } of follow("POST", url, { json: {}, signal: stop.signal })) {
      if (data.progress) transfer.show(data.progress);
      else transfer.done(`here, all of its ${size(data.size)} verified`);
    }
  } catch (problem) {
    if (problem.name === "AbortError") transfer.line.remove();
    else transfer.failed(problem);
  }
  list();
}

/** Sends a file to the node. Not by fetch, which does not tell how far it is. */
function shareFile(file, name) {
  const request = new XMLHttpRequest();
  const transfer = new Transfer(file.name, () => request.abort());
  const query = new URLSearchParams({ file: file.name });
  if (name) query.set("name", name);
  const events = new Events();
  let seen = 0;
  const take = () => {
    const text = request.responseText.slice(seen);
    seen += text.length;
    for (const { name, data } of events.push(text)) {
      if (name === "problem") transfer.failed(new Problem(data.status, data));
      else if (data.progress) transfer.show(data.progress);
      else transfer.done(`shared as ${data.id}`);
    }
  };
  request.upload.addEventListener("progress", (event) =>
    transfer.show({ phase: "sending", done: event.loaded, size: event.total }));
  request.addEventListener("progress", () => request.status === 200 && take());
  request.addEventListener("error", () => transfer.failed(new Error("the node went away")));
  request.addEventListener("abort", () => transfer.line.remove());
  request.addEventListener("load", () => {
    if (request.status === 200) {
      take();
    } else {
      let problem = null;
      try {
        problem = JSON.parse(request.responseText);
      } catch {
        // No problem but its status is known.
      }
      transfer.failed(new Problem(request.status, problem));
    }
    list();
  });
  request.open("POST", `/v1/uploads?${query}`);
  for (const [header, value] of Object.entries(proof())) request.setRequestHeader(header, value);
  request.send(file);
}

/** A file's bytes for the person: by a link, which a token cannot go with. */
function saving(file) {
  const url = path("files", file.id);
  if (isOpen()) return element("a", { href: url, download: file.name }, "Save");
  const save = async () => {
    const response = await fetch(url, { headers: proof() });
    const link = element("a", { href: URL.createObjectURL(await response.blob()), download: file.name });
    link.click();
    URL.revokeObjectURL(link.href);
  };
  return element("button", { type: "button", onclick: save, "aria-label": `Save ${file.name}` }, "Save");
}

function state(file) {
  if (file.state !== "partial") return file.state;
  const chunks = Math.max(Math.ceil(file.size / CHUNK), 1);
  return element("progress", { max: chunks, value: file.held ?? 0, "aria-label": `${file.name}: verified chunks` },
    `${file.held} of ${chunks}`);
}

/** Shows the files of the node. */
export async function list() {
  const { items } = await ask("GET", "/v1/files");
  const rows = items.map((file) =>
    element("tr", {}, element("th", { scope: "row" }, file.name || file.id.slice(0, 12) + "…"), cell(size(file.size), "number"),
      cell(state(file)), cell(file.state === "whole" && file.kind === "file" ? saving(file) : null)));
  // Whoever stands on a link of the table stays there.
  if (!$("files").contains(document.activeElement)) $("files").replaceChildren(...rows);
}

/** Brings the forms to life. */
export function start() {
  const drop = $("drop");
  const share = (files) => {
    for (const file of files) shareFile(file, $("file-name").value.trim());
    $("file-name").value = "";
  };
  drop.addEventListener("submit", (event) => event.preventDefault());
  $("file-input").addEventListener("change", (event) => {
    share(event.target.files);
    event.target.value = "";
  });
  for (const name of ["dragenter", "dragover"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    share(event.dataTransfer.files);
  });
  handle($("fetch-form"), $("transfers"), async (data) => {
    // It lasts; its line says how far it is.
    fetchFile(data.get("file").trim());
  });
}
