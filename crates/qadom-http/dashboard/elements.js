// Builds elements and writes quantities for people.
//
// What must stay true: texts become text nodes, never markup.

/** The element of an id. */
export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An element of HTML. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** An element of SVG. */
export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

/** Says what went wrong, and what to do, in an element. */
export function complain(where, problem) {
  const reason = problem.reason ? `${problem.reason}: ` : "";
  const advice = problem.advice ? ` (${problem.advice})` : "";
  where.replaceChildren(element("p", { class: "problem" }, `${reason}${problem.message}${advice}`));
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** A number of bytes. */
export function size(bytes) {
  let unit = 0;
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${UNITS[unit]}`;
}

/** A number. */
export const number = (value) => value.toLocaleString("en");

/** So many of something: "1 hop", "2 hops". */
export const counted = (value, what) => `${number(value)} ${what}${value === 1 ? "" : "s"}`;

/** A moment, as seen from now. */
export function when(moment) {
  const seconds = Math.round((new Date(moment) - Date.now()) / 1000);
  const far = Math.abs(seconds);
  const text =
    far < 90 ? `${far} s` : far < 5400 ? `${Math.round(far / 60)} min` : far < 129600 ? `${Math.round(far / 3600)} h` : `${Math.round(far / 86400)} d`;
  return seconds < 0 ? `${text} ago` : `in ${text}`;
}

/** A key or id, short where all of it can be read by pointing at it. */
export const short = (hex) => element("code", { title: hex }, `${hex.slice(0, 12)}…`);

/** A bar that says how full something is. */
export const meter = (used, limit, label) =>
  element("meter", { min: 0, max: limit, value: used, "aria-label": label }, `${used} of ${limit}`);

/** A cell of a table. */
export const cell = (content, kind) => element("td", { class: kind }, content);
