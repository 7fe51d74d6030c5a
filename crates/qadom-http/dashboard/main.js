// Keeps the page in step with the node.
//
// What must stay true: a page that nobody looks at asks nothing; a node that is gone is said to be
// gone, and found again.

import { $, cell, complain, element, meter, number, shape, short, size, when } from "./elements.js";
import { ask, path } from "./api.js";
import { drawTable, lookup } from "./ring.js";
import * as forms from "./forms.js";
import * as files from "./files.js";

/** Between two looks at what changes fast, in milliseconds. */
const FAST = 1500;
/** Looks at what changes slowly, in fast ones. */
const SLOW = 3;
/** Points of the line of traffic: two minutes. */
const POINTS = 80;
/** Publications that are shown. */
const SHOWN = 100;

let node = null;
const traffic = [];

function showStatus(status) {
  node = status.node;
  $("network").textContent = status.local ? `${status.network}, local mode` : status.network;
  $("verdict").textContent = status.verdict;
  $("verdict").dataset.verdict = status.verdict;
  $("reasons").replaceChildren(...status.reasons.map((reason) => element("li", {}, reason)));
  $("address").textContent = status.address;
  $("peers-count").textContent = number(status.peers);
  const estimate = status.network_size;
  $("size").textContent = estimate
    ? `${number(Math.round(estimate.estimate))} ± ${Math.round(estimate.error * 100)} %`
    : "not known yet";
  $("mode").textContent = status.mode;
  $("reachability").textContent = { reachable: "yes", unreachable: "no" }[status.reachability] ?? "not known yet";
  const held = Object.fromEntries(status.limits.map((limit) => [limit.name, limit]));
  if (held.records) {
    const bytes = held["record-bytes"];
    $("records").textContent = `${number(held.records.used)} records are held here${bytes ? `, ${size(bytes.used)} of ${size(bytes.limit)}` : ""}`;
  }
  showTraffic(status.traffic, status.drops);
  showLimits(status.limits);
}

function showTraffic(now, drops) {
  traffic.push({ at: performance.now(), bytes: now.bytes_in + now.bytes_out });
  if (traffic.length > POINTS + 1) traffic.shift();
  const rates = traffic.slice(1).map((point, index) =>
    Math.max(0, (point.bytes - traffic[index].bytes) / ((point.at - traffic[index].at) / 1000)));
  const most = Math.max(...rates, 1024);
  const line = rates.map((rate, index) => `${index ? "L" : "M"} ${400 - (rates.length - 1 - index) * (400 / POINTS)} ${56 - (rate / most) * 50}`);
  const drawn = shape("path", { d: line.join(" "), class: "traffic" });
  $("traffic-line").querySelector("path")?.remove();
  $("traffic-line").append(drawn);
  $("traffic-now").textContent = `${size(rates.at(-1) ?? 0)}/s now, ${size(now.bytes_in)} in, ${size(now.bytes_out)} out since the start`;
  const causes = now.causes.map((cause) => ({
    ...cause,
    messages: cause.messages_in + cause.messages_out,
    bytes: cause.bytes_in + cause.bytes_out,
  })).filter((cause) => cause.messages > 0).sort((a, b) => b.bytes - a.bytes);
  const all = causes.reduce((sum, cause) => sum + cause.bytes, 0) || 1;
  $("causes").replaceChildren(...causes.map((cause) =>
    element("tr", {}, element("th", { scope: "row" }, cause.cause), cell(number(cause.messages), "number"),
      cell(size(cause.bytes), "number"), cell(meter(cause.bytes, all, `share of ${cause.cause}`)))));
  const dropped = Object.entries(drops).map(([reason, count]) => `${number(count)} ${reason}`);
  $("drops").textContent = dropped.length ? `Dropped or refused: ${dropped.join(", ")}` : "Nothing was dropped.";
}

function showLimits(limits) {
  const inUse = limits.filter((limit) => limit.used > 0 && limit.limit > 0)
    .sort((a, b) => b.used / b.limit - a.used / a.limit);
  $("limits").replaceChildren(...inUse.map((limit) => {
    const write = /bytes(-per-second)?$/.test(limit.name) ? size : number;
    return element("tr", {}, element("th", { scope: "row" }, limit.name.replaceAll("-", " ")), cell(write(limit.used), "number"),
      cell(write(limit.limit), "number"), cell(meter(limit.used, limit.limit, `use of ${limit.name}`)));
  }));
}

async function showPeers() {
  const { items } = await ask("GET", "/v1/peers");
  drawTable(node, items);
}

async function showPublications() {
  const { items } = await ask("GET", "/v1/publications");
  const newest = items.sort((a, b) => b.renewed_at.localeCompare(a.renewed_at)).slice(0, SHOWN);
  const withdraw = (publication) => async () => {
    await ask("DELETE", path("v1", "publications", publication.key)).catch((problem) => complain($("publications-more"), problem));
    document.activeElement?.blur();
    showPublications();
  };
  const rows = newest.map((publication) =>
    element("tr", {}, cell(short(publication.key)), cell(publication.kind), cell(number(publication.stored), "number"),
      cell(when(publication.expires_at)), cell(publication.state),
      cell(publication.state === "active"
        ? element("button", { type: "button", onclick: withdraw(publication), "aria-label": `Withdraw ${publication.kind} ${publication.key.slice(0, 12)}` }, "Withdraw")
        : null)));
  if (!$("publications").contains(document.activeElement)) $("publications").replaceChildren(...rows);
  $("publications-more").textContent = items.length > SHOWN ? `and ${number(items.length - SHOWN)} more` : items.length ? "" : "Nothing yet.";
}

async function examine() {
  const diagnosis = await ask("GET", "/v1/doctor");
  $("checks").replaceChildren(...diagnosis.checks.map((check) =>
    element("li", { class: check.ok ? "good" : "problem" }, `${check.ok ? "✓" : "✗"} ${check.name}: ${check.detail}${check.advice ? ` (${check.advice})` : ""}`)));
}

async function look(turn) {
  showStatus(await ask("GET", "/v1/status"));
  await files.list();
  if (turn % SLOW === 0) {
    await showPeers();
    await showPublications();
  }
}

async function keepLooking() {
  for (let turn = 0; ; turn += 1) {
    if (!document.hidden) {
      try {
        await look(turn);
        $("problem").hidden = true;
        document.body.dataset.ready = "yes";
      } catch (problem) {
        $("problem").hidden = false;
        $("problem").textContent = problem.reason ? `${problem.reason}: ${problem.message}` : "The node does not answer. Is it running?";
        if (!problem.reason) {
          $("verdict").textContent = "gone";
          $("verdict").dataset.verdict = "gone";
        }
      }
    }
    await new Promise((resolve) => setTimeout(resolve, FAST));
  }
}

forms.start();
files.start();
forms.handle($("lookup-form"), $("lookup-state"), async (data) => {
  await lookup(data.get("key").trim());
});
forms.handle($("join-form"), $("join-result"), async (data) => {
  const joined = await ask("POST", "/v1/join", { json: { addresses: [data.get("address").trim()] } });
  await showPeers();
  return element("span", { class: "good" }, `joined, ${number(joined.peers)} peers`);
});
forms.handle($("doctor-form"), $("checks"), examine);
$("copy-address").addEventListener("click", async () => {
  await navigator.clipboard?.writeText($("address").textContent);
  $("copy-address").textContent = "Copied";
});
keepLooking();
