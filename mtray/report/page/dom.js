// Elements without markup: text of a run enters the page through text nodes and attributes alone.
const SVG = document.getElementById("ns").namespaceURI;
export const css = name => `var(${name})`;

// characters that change how their neighbours are shown become visible
const HIDING = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
const visible = text => text.replace(HIDING, c => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);

function fill(node, attrs, kids) {
  for (const [key, value] of Object.entries(attrs ?? {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") for (const [name, text] of Object.entries(value)) node.style.setProperty(name, text);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(key, value === true ? "" : value);
  }
  const shown = kids.flat(Infinity).filter(kid => kid !== null && kid !== undefined && kid !== false);
  node.append(...shown.map(kid => (typeof kid === "string" ? visible(kid) : kid)));
  return node;
}
export const el = (tag, attrs, ...kids) => fill(document.createElement(tag), attrs, kids);
export const svg = (tag, attrs, ...kids) => fill(document.createElementNS(SVG, tag), attrs, kids);

// text of a run, whose direction of writing is its own
export const own = (text, attrs) => el("bdi", attrs, text);

export function pick(label, value, options, change) {
  return el(
    "label",
    {},
    label,
    el(
      "select",
      { onchange: event => change(event.target.value) },
      options.map(([key, name]) => el("option", { value: key, selected: key === value }, name)),
    ),
  );
}
export function tick(label, value, change) {
  return el(
    "label",
    {},
    el("input", { type: "checkbox", checked: value, onchange: event => change(event.target.checked) }),
    label,
  );
}
export function rows(pairs) {
  return el(
    "table",
    { class: "pairs" },
    el(
      "tbody",
      {},
      pairs.map(([name, value]) => el("tr", {}, el("th", { scope: "row" }, own(name)), el("td", {}, value))),
    ),
  );
}
export const wide = (label, ...kids) =>
  el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, kids);
// a table of columns with heads; `left`: places of those with words, `body`: its rows
export const sheet = (label, heads, left, body, kind = "all") =>
  wide(
    label,
    el(
      "table",
      { class: kind },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          heads.map((h, i) => el(h ? "th" : "td", { scope: h && "col", class: left.includes(i) ? "left" : "" }, h)),
        ),
      ),
      el("tbody", {}, body),
    ),
  );
export const badge = (text, kind, title) => el("span", { class: `badge ${kind ?? ""}`, title }, text);
export const list = items =>
  el(
    "ul",
    {},
    items.map(item => el("li", {}, own(item))),
  );
export const folded = (title, ...kids) => el("details", { class: "small" }, el("summary", {}, title), kids);

const tip = document.getElementById("tip");
export function showTip(node, x, y) {
  tip.replaceChildren(node);
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(8, Math.min(x + 16, innerWidth - box.width - 8))}px`;
  tip.style.top = `${Math.max(8, y + 16 + box.height > innerHeight ? y - box.height - 12 : y + 16)}px`;
}
export function hideTip() {
  tip.hidden = true;
}
