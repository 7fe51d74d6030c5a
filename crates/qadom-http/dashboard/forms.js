// Values, names, bags and topics: written and read from the page.
//
// What must stay true: every write shows its receipt, every refusal its reason and advice.

import { $, complain, counted, element, short, when } from "./elements.js";
import { ask, bytes, follow, path, readable } from "./api.js";

/** What became of a write, in words. */
function receipt(written) {
  const { receipt } = written;
  const wanted = Math.min(receipt.wanted, receipt.reachable);
  const copies = receipt.alone
    ? "stored here alone: the only copy"
    : receipt.stored > wanted
      ? `stored ${receipt.stored} copies, ${wanted} were wanted`
      : `stored ${receipt.stored} of ${wanted} copies`;
  return element("p", { class: "good" }, `${copies}, ${counted(receipt.hops, "hop")}, ${counted(receipt.messages, "message")}, ${receipt.took_ms.toFixed(1)} ms, expires ${when(receipt.expires_at)}. Key: `,
    element("code", {}, written.key));
}

/** Lets a form do its work, once at a time, and shows what came of it. */
export function handle(form, result, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const buttons = form.querySelectorAll("button");
    for (const button of buttons) button.disabled = true;
    try {
      const shown = await work(new FormData(form), event.submitter?.value);
      if (shown !== undefined) result.replaceChildren(...[shown].flat());
    } catch (problem) {
      if (problem.name !== "AbortError") complain(result, problem);
    } finally {
      for (const button of buttons) button.disabled = false;
      event.submitter?.focus();
    }
  });
}

function content(read) {
  const about = [`from ${read.source === "local" ? "this node" : read.source.slice(0, 12) + "…"}`, counted(read.hops, "hop")];
  if (read.writer) about.push(`writer ${read.writer.slice(0, 12)}…`, `expires ${when(read.expires_at)}`);
  return [element("pre", {}, readable(bytes(read.value_base64))), element("p", { class: "quiet" }, about.join(", "))];
}

function values() {
  handle($("put-form"), $("put-result"), async (data) => {
    const written = await ask("POST", "/v1/values", { body: data.get("text") });
    $("get-key").value = written.key;
    return receipt(written);
  });
  handle($("get-form"), $("get-result"), async (data) =>
    content(await ask("GET", path("v1", "values", data.get("key").trim()))));
}

function names() {
  handle($("dict-form"), $("dict-result"), async (data, action) => {
    const name = path("v1", "dict", data.get("name"));
    if (action === "set") return receipt(await ask("PUT", name, { body: data.get("value") }));
    if (action === "delete") return receipt(await ask("DELETE", name));
    return content(await ask("GET", name));
  });
  handle($("bag-form"), $("bag-result"), async (data, action) => {
    const bag = path("v1", "bags", data.get("key").trim());
    if (action === "add") return receipt(await ask("POST", bag, { body: data.get("item") }));
    if (action === "remove") return receipt(await ask("DELETE", bag, { body: data.get("item") }));
    const list = await ask("GET", bag);
    const items = list.items.slice(0, 500).map((item) =>
      element("li", {}, readable(bytes(item.value_base64)), element("span", { class: "quiet" }, ` (${item.writers.length} writers)`)));
    return [element("p", {}, `${counted(list.items.length, "item")}, ${list.complete ? "complete" : "not known to be complete"}`),
      element("ul", {}, ...items)];
  });
}

/** Messages that are shown at once; older ones leave. */
const SHOWN = 200;
let following = null;

async function followTopic(topic) {
  following?.abort();
  following = new AbortController();
  const { signal } = following;
  const state = $("topic-state");
  const opened = () => {
    state.textContent = `following ${topic}`;
  };
  const url = `${path("v1", "topics", topic, "events")}?cursor=0`;
  for await (const { data } of follow("GET", url, { signal, opened })) {
    const line = data.gap
      ? element("li", { class: "problem" }, `messages ${data.gap.from_seq} to ${data.gap.to_seq} are lost`)
      : element("li", {}, readable(bytes(data.value_base64)), element("span", { class: "quiet" }, " from "), short(data.writer));
    $("messages").append(line);
    while ($("messages").children.length > SHOWN) $("messages").firstChild.remove();
    line.scrollIntoView({ block: "nearest" });
  }
  if (!signal.aborted) state.textContent = `${topic}: the node ended it`;
}

function topics() {
  handle($("follow-form"), $("topic-state"), async (data) => {
    $("messages").replaceChildren();
    // It lasts; the form is free again as soon as it stands.
    followTopic(data.get("topic")).catch((problem) => {
      if (problem.name !== "AbortError") complain($("topic-state"), problem);
    });
  });
  handle($("publish-form"), $("publish-result"), async (data) => {
    const topic = $("topic-name").value;
    if (!topic) throw new Error("name the topic first");
    const written = await ask("POST", path("v1", "topics", topic), { body: data.get("message") });
    $("message").value = "";
    return receipt(written);
  });
}

/** Brings the forms to life. */
export function start() {
  values();
  names();
  topics();
}
