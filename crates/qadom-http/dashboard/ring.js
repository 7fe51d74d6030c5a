// The key space as a ring: our table on it, and lookups as ways that converge on their target.
//
// What must stay true: what the drawing shows is also said in words, in its description and the
// tables beside it.

import { $, element, meter, cell, counted, shape, short, when } from "./elements.js";
import { follow, path } from "./api.js";

const CENTRE = 200;
const RADIUS = 150;
/** Bits of a key. */
const ALL = 256;
/** Contacts that a bucket holds. */
const K = 20;
/** Buckets narrower than this many halvings cannot be seen. */
const SEEN = 12;

let self = null;
const places = new Map();

/** Where an id lies on the ring: a part of the whole, from its first 32 bits. */
const part = (hex) => parseInt(hex.slice(0, 8), 16) / 2 ** 32;

function point(fraction, radius = RADIUS) {
  const angle = fraction * 2 * Math.PI - Math.PI / 2;
  return [CENTRE + radius * Math.cos(angle), CENTRE + radius * Math.sin(angle)];
}

function dot(fraction, radius, attributes) {
  const [cx, cy] = point(fraction);
  return shape("circle", { cx, cy, r: radius, ...attributes });
}

/** The part of the ring that a bucket covers: ids that share so many bits with ours, and no more. */
function bucketArc(bucket) {
  const width = 2 ** -(bucket + 1);
  const start = Math.floor(part(self) / width) ^ 1;
  const [x1, y1] = point(start * width, RADIUS + 16);
  const [x2, y2] = point((start + 1) * width, RADIUS + 16);
  const radius = RADIUS + 16;
  return `M ${x1} ${y1} A ${radius} ${radius} 0 ${width > 0.5 ? 1 : 0} 1 ${x2} ${y2}`;
}

/** Draws our table. */
export function drawTable(node, peers) {
  self = node;
  const ring = $("ring");
  ring.querySelector(".table")?.remove();
  const fills = new Map();
  places.clear();
  const table = shape("g", { class: "table" });
  table.append(shape("circle", { cx: CENTRE, cy: CENTRE, r: RADIUS, class: "ring-line" }));
  for (const peer of peers) fills.set(peer.bucket, (fills.get(peer.bucket) ?? 0) + 1);
  for (const [bucket, filled] of fills) {
    if (bucket > SEEN) continue;
    const opacity = 0.15 + 0.75 * Math.min(filled / K, 1);
    table.append(shape("path", { d: bucketArc(bucket), class: "ring-bucket", opacity }));
  }
  for (const peer of peers) {
    places.set(peer.node, part(peer.node));
    const kind = peer.mode === "storing" ? "ring-peer" : "ring-peer client";
    table.append(dot(part(peer.node), 4.5, { class: kind }));
  }
  table.append(dot(part(node), 8, { class: "ring-self" }));
  ring.querySelector("desc").after(table);
  const words = [...fills].sort(([a], [b]) => a - b).map(([bucket, filled]) => `${filled} of 20 sharing ${bucket} bits`);
  $("ring-text").textContent = peers.length
    ? `${counted(peers.length, "peer")} in ${counted(fills.size, "bucket")}: ${words.join(", ")}.`
    : "No peers are known yet.";
  listTable(fills, peers);
}

function listTable(fills, peers) {
  const buckets = [...fills].sort(([a], [b]) => a - b);
  $("buckets").replaceChildren(
    ...buckets.map(([bucket, filled]) =>
      element("tr", {}, element("th", { scope: "row" }, String(bucket)), cell(`${filled} of ${K}`, "number"),
        cell(meter(filled, K, `fill of bucket ${bucket}`)))),
  );
  $("peers").replaceChildren(
    ...peers.slice(0, 500).map((peer) =>
      element("tr", {}, cell(short(peer.node)), cell(peer.address.split("@").pop()), cell(peer.mode),
        cell(peer.rtt_ms === null ? "–" : `${peer.rtt_ms.toFixed(1)} ms`, "number"), cell(when(peer.last_seen)))),
  );
}

/** Bits of an id as a text of 0 and 1, as many as are wanted. */
function bits(hex, count) {
  let text = "";
  for (const digit of hex) text += parseInt(digit, 16).toString(2).padStart(4, "0");
  return text.slice(0, count);
}

/** A lookup on the ring and in the diagram beside it. */
class Drawing {
  constructor() {
    $("ring").querySelector(".lookup")?.remove();
    this.ways = shape("g", { class: "lookup" });
    $("ring").append(this.ways);
    this.steps = [];
    this.lines = new Map();
    this.known = 0;
    /** The last node of each depth that answered: its contacts are asked next. */
    this.answered = new Map([[0, part(self)]]);
    $("lookup-steps").replaceChildren();
  }

  /** The target is known as far as the nodes share bits with it. */
  learnTarget(step, key) {
    if (key) {
      this.target = part(key);
    } else if (step.shared_bits >= this.known) {
      this.known = step.shared_bits;
      const prefix = bits(step.node, step.shared_bits);
      const flipped = bits(step.node, step.shared_bits + 1).at(-1) === "0" ? "1" : "0";
      this.target = parseInt((prefix + flipped + "1").padEnd(32, "0").slice(0, 32), 2) / 2 ** 32;
    }
    const [x, y] = point(this.target);
    this.mark ??= this.ways.appendChild(shape("rect", { class: "ring-target", width: 13, height: 13 }));
    this.mark.setAttribute("transform", `translate(${x} ${y}) rotate(45) translate(-6.5 -6.5)`);
  }

  step(step, key) {
    this.steps.push(step);
    this.learnTarget(step, key);
    const to = part(step.node);
    if (step.event === "asked") {
      const from = this.answered.get(step.hop - 1) ?? part(self);
      const [x1, y1] = point(from);
      const [x2, y2] = point(to);
      const bend = `${CENTRE + (x1 + x2 - 2 * CENTRE) * 0.2} ${CENTRE + (y1 + y2 - 2 * CENTRE) * 0.2}`;
      const line = shape("path", { d: `M ${x1} ${y1} Q ${bend} ${x2} ${y2}`, class: "way" });
      this.lines.set(step.node, line);
      this.ways.prepend(line);
    } else {
      this.lines.get(step.node)?.setAttribute("class", `way ${step.event}`);
      if (step.event === "answered") this.answered.set(step.hop, to);
    }
    const more = step.event === "answered" ? `, with ${counted(step.contacts, "contact")}, ${step.nearer} of them nearer` : "";
    $("lookup-steps").append(
      element("li", {}, `${step.at_ms.toFixed(1)} ms: hop ${step.hop}, ${step.event} `, short(step.node),
        ` (shares ${step.shared_bits} bits)${more}`),
    );
    this.diagram();
  }

  /** Time to the right, shared bits upward: how the answers come nearer. */
  diagram() {
    const answers = this.steps.filter((step) => step.event === "answered");
    const longest = Math.max(...this.steps.map((step) => step.at_ms), 1);
    // A node whose id is the key itself shares all of it, and would press the others to the ground.
    const shared = answers.map((step) => step.shared_bits).filter((bits) => bits < ALL);
    const most = Math.max(...shared, 4);
    const height = (step) => Math.min(step.shared_bits / most, 1) * 140;
    const place = (step) => [36 + (step.at_ms / longest) * 350, 158 - height(step)];
    const drawn = shape("g", {});
    drawn.append(
      shape("path", { d: "M 36 12 V 158 H 392", class: "axis", fill: "none" }),
      shape("text", { x: 4, y: 20, class: "axis-text" }, `${most}`),
      shape("text", { x: 4, y: 158, class: "axis-text" }, "0"),
      shape("text", { x: 40, y: 174, class: "axis-text" }, `shared bits over ${longest.toFixed(1)} ms`),
    );
    let nearest = -1;
    let line = "";
    for (const step of answers) {
      const [x, y] = place(step);
      drawn.append(shape("circle", { cx: x, cy: y, r: 3.5, class: "ring-peer" }));
      if (step.shared_bits > nearest) {
        nearest = step.shared_bits;
        line += `${line ? "L" : "M"} ${x} ${y} `;
      }
    }
    if (line) drawn.append(shape("path", { d: line, class: "way answered" }));
    const svg = $("paths");
    svg.querySelector("g")?.remove();
    svg.append(drawn);
    $("paths-text").textContent = `${answers.length} of ${this.steps.filter((step) => step.event === "asked").length} asked nodes answered; the nearest shares ${Math.max(nearest, 0)} bits with the key.`;
  }

  end(end) {
    for (const { node } of end.closest) this.ways.append(dot(part(node), 9, { class: "found" }));
    $("lookup-state").textContent = `${counted(end.closest.length, "nearest node")}, ${counted(end.hops, "hop")}, ${counted(end.messages, "message")}, ${end.took_ms.toFixed(1)} ms`;
  }
}

let running = null;

/** Runs a lookup and draws it as it goes. */
export async function lookup(key) {
  running?.abort();
  running = new AbortController();
  const drawing = new Drawing();
  let target = /^[0-9a-fA-F]{64}$/.test(key) ? key : null;
  const opened = (response) => {
    target ??= response.headers.get("qadom-key");
  };
  $("lookup-state").textContent = "looking…";
  const events = follow("GET", path("v1", "lookups", key), { signal: running.signal, opened });
  for await (const { name, data } of events) {
    if (name === "step") drawing.step(data, target);
    else if (data.closest) drawing.end(data);
  }
}
