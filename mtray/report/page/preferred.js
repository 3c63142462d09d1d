// What the study prefers, in the chart: what misses a limit is shaded, and a line joins what is worth as much as the answer.
import { el, own, svg } from "./dom.js";

const limitOf = wish => wish?.at_least ?? wish?.at_most ?? null;
const limitText = wish => (limitOf(wish) === wish.at_least ? "at least " : "at most ") + limitOf(wish);

// where a measure's limit lies on its axis; null without one
function limit(read, m) {
  const found = m.objective ? limitOf(read.front.answer?.prefer?.[m.key]) : null;
  return found === null ? null : found - (read.of ? (m.own(read.of)?.value ?? 0) : 0);
}
// limits near the points widen the chart
export function limitsNear(read, m, values) {
  const found = limit(read, m),
    low = Math.min(...values),
    high = Math.max(...values);
  return found !== null && found >= 2 * low - high && found <= 2 * high - low ? [found] : [];
}
export function preferred(read, mx, my, at, box) {
  return [shade(read, mx, at.x, box, true), shade(read, my, at.y, box, false), ...lines(read, mx, my, at, box)].filter(
    Boolean,
  );
}
function shade(read, m, to, box, across) {
  const found = limit(read, m);
  if (found === null) return null;
  const [low, high] = across ? [box.l, box.r] : [box.t, box.b],
    place = Math.max(low, Math.min(high, to(found))),
    before = across === (m.sense === "max"); // left of the limit, or above it
  const [from, size] = before ? [low, place - low] : [place, high - place];
  const area = across
    ? { x: from, width: size, y: box.t, height: box.b - box.t }
    : { y: from, height: size, x: box.l, width: box.r - box.l };
  const edge = across
    ? { x1: place, x2: place, y1: box.t, y2: box.b }
    : { x1: box.l, x2: box.r, y1: place, y2: place };
  const inside = place > low && place < high;
  return svg("g", {}, svg("rect", { class: "missed", ...area }), inside && svg("line", { class: "limit", ...edge }));
}
// the ends of the weights, and their means
function weightings(front) {
  const { answer, objectives } = front;
  if (!answer || objectives.length !== 2 || !objectives.some(o => answer.prefer?.[o.name]?.weight)) return [];
  if (objectives.some(o => !answer.scale[o.name])) return [];
  const [one, other] = objectives.map(o => answer.prefer[o.name]?.weight ?? [1, 1]),
    [x, y] = objectives.map(o => o.name);
  const ends = one[0] !== one[1] || other[0] !== other[1];
  return [
    { weights: answer.weights, pale: false },
    ...(ends
      ? [
          { weights: { [x]: one[0], [y]: other[1] }, pale: true },
          { weights: { [x]: one[1], [y]: other[0] }, pale: true },
        ]
      : []),
  ];
}
function lines(read, mx, my, at, box) {
  const { front } = read,
    point = read.points.find(p => p.number === front.answer?.number);
  if (!mx.objective || !my.objective || mx === my || !point || !mx.get(point) || !my.get(point)) return [];
  const from = { x: at.x(mx.get(point).value), y: at.y(my.get(point).value) };
  // pixels of one unit of worth
  const pixels = (m, to) => ((to(1) - to(0)) * front.answer.scale[m.key]) * (m.sense === "max" ? 1 : -1);
  return weightings(front).map(({ weights, pale }) => {
    const dx = weights[my.key] * pixels(mx, at.x),
      dy = -weights[mx.key] * pixels(my, at.y),
      ends = clipped(from, dx, dy, box);
    return svg("line", { class: pale ? "equal pale" : "equal", ...ends });
  });
}
// the part of a line within the box
function clipped({ x, y }, dx, dy, box) {
  const ends = [
    [dx, box.l - x],
    [dx, box.r - x],
    [dy, box.t - y],
    [dy, box.b - y],
  ]
    .filter(([d]) => Math.abs(d) > 1e-9)
    .map(([d, far]) => far / d);
  const before = Math.max(...ends.filter(t => t <= 0), -Infinity),
    after = Math.min(...ends.filter(t => t >= 0), Infinity);
  return { x1: x + before * dx, y1: y + before * dy, x2: x + after * dx, y2: y + after * dy };
}
export function preferredLegend(read, mx, my) {
  const prefer = read.front.answer?.prefer ?? {},
    limits = [mx, my].filter(m => m.objective && limitOf(prefer[m.key]) !== null),
    found = mx.objective && my.objective && mx !== my ? weightings(read.front) : [];
  return [
    limits.length > 0 &&
      el(
        "span",
        {},
        el("i", { class: "missed" }),
        "misses ",
        own([...new Set(limits)].map(m => `${m.key} ${limitText(prefer[m.key])}`).join(" or ")),
      ),
    found.length > 0 &&
      el("span", {}, `dotted: worth as much as the answer${found.length > 1 ? " (pale: at the ends of the weights)" : ""}`),
  ];
}
