// The front as a chart: points with intervals, baselines, predicted points, the dominated region.
import { css, svg, hideTip, showTip } from "./dom.js";
import { pointName, ROLES } from "./format.js";
import { predictedValue } from "./measures.js";
import { limitsNear, preferred } from "./preferred.js";
import { scale } from "./scales.js";

export const ROLE_COLOUR = {
  base: "--base",
  parallel_only: "--parallel",
  mono_one_to_one: "--mono",
  mono_two_to_one: "--mono2",
  uniform: "--uniform",
};
export const plainColour = p =>
  css(p.role !== "search" ? (ROLE_COLOUR[p.role] ?? "--other") : p.on_front ? "--front" : "--other");

export function chart(read, wish, width, events) {
  const mx = read.measure(wish.x),
    my = read.measure(wish.y),
    shown = read.points.filter(p => mx.get(p) && my.get(p));
  const height = Math.max(320, Math.min(560, width * 0.6)),
    box = { l: 0, r: width - 14, t: 14, b: height - 50 };
  const root = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    height,
    tabindex: 0,
    role: "application",
    "aria-roledescription": "chart",
    "aria-label": `${shown.length} recipes by ${mx.title} and ${my.title}. Arrow keys go from one to the next, Enter chooses. The table has the same numbers.`,
  });
  if (!shown.length) return root;
  const predicted = wish.predicted
    ? (read.front.modelled ?? [])
        .filter(p => p.number === null)
        .map(p => ({ p, x: predictedValue(read, p, mx), y: predictedValue(read, p, my) }))
        .filter(d => d.x && d.y)
    : [];
  const values = (m, more) => {
    const found = [...shown.map(p => m.get(p).value), ...more];
    return [...found, ...limitsNear(read, m, found)];
  };
  const y = scale(values(my, predicted.map(d => d.y.value)), box.b, box.t, {
    pad: 0.08,
    count: 6,
  });
  box.l = 34 + 7 * Math.max(0, ...y.ticks.map(t => y.text(t).length)); // the axis's name, then its numbers
  const x = scale(values(mx, predicted.map(d => d.x.value)), box.l, box.r, {
    pad: 0.07,
    count: width / 110,
  });
  const at = { x, y };
  const spots = shown.map(p => ({ p, x: at.x(mx.get(p).value), y: at.y(my.get(p).value) })),
    both = read.front.objectives.length === 2 && mx.objective && my.objective && mx !== my;
  if (both) root.append(...region(shown, mx, my, at, box));
  root.append(...preferred(read, mx, my, at, box));
  root.append(...axes(at, box, mx, my, width, height), ...(read.of ? zero(at, box) : []));
  for (const d of predicted) root.append(...predictedPoint(d, at));
  for (const s of spots)
    if (s.p.on_front || s.p.number === wish.chosen) root.append(intervals(s.p, mx, my, at, box, wish.colour(s.p)));
  const rank = s => (s.p.number === wish.chosen ? 4 : 0) + (s.p.role !== "search" ? 2 : 0) + (s.p.on_front ? 1 : 0);
  for (const s of [...spots].sort((a, b) => rank(a) - rank(b))) root.append(...pointShapes(s, wish));
  root.append(...labels(spots, wish, box));
  listen(
    root,
    spots,
    events,
    p =>
      `${pointName(p)}${p.knee ? ", the knee" : ""}${p.on_front ? ", on the front" : ""}: ${mx.key} ${mx.said(p)}, ${my.key} ${my.said(p)}`,
  );
  return root;
}
function axes(at, box, mx, my, width, height) {
  const line = (x1, x2, y1, y2) => svg("line", { class: "grid", x1, x2, y1, y2 }),
    fit = (m, room) =>
      m.titles.find(text => text.length * 6.7 < room) ?? `${m.key.slice(0, Math.max(6, Math.floor(room / 7)))}…`;
  return [
    ...at.x.ticks.flatMap(t => [
      line(at.x(t), at.x(t), box.t, box.b),
      svg("text", { x: at.x(t), y: box.b + 18, "text-anchor": "middle" }, at.x.text(t)),
    ]),
    ...at.y.ticks.flatMap(t => [
      line(box.l, box.r, at.y(t), at.y(t)),
      svg("text", { x: box.l - 8, y: at.y(t) + 4, "text-anchor": "end" }, at.y.text(t)),
    ]),
    svg(
      "text",
      { class: "axis", x: (box.l + box.r) / 2, y: height - 8, "text-anchor": "middle" },
      fit(mx, width - box.l),
    ),
    svg(
      "text",
      { class: "axis", transform: `translate(15,${(box.t + box.b) / 2}) rotate(-90)`, "text-anchor": "middle" },
      fit(my, box.b - box.t),
    ),
  ];
}
const zero = (at, box) =>
  [
    svg("line", { class: "zero", x1: at.x(0), x2: at.x(0), y1: box.t, y2: box.b }),
    svg("line", { class: "zero", x1: box.l, x2: box.r, y1: at.y(0), y2: at.y(0) }),
  ].filter(
    line =>
      Number(line.getAttribute("x1")) >= box.l &&
      Number(line.getAttribute("x2")) <= box.r &&
      Number(line.getAttribute("y1")) >= box.t - 1 &&
      Number(line.getAttribute("y2")) <= box.b + 1,
  );

// what some recipe is better than in both objectives, with its border, the front
function region(shown, mx, my, at, box) {
  const line = shown
    .filter(p => p.on_front)
    .map(p => [mx.get(p).value, my.get(p).value])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  if (!line.length) return [];
  const worse = m => (m.sense === "max" ? Math.min : Math.max),
    wx = worse(mx),
    wy = worse(my);
  const d = line
    .map(([x, y], i) =>
      i
        ? `L${at.x(wx(line[i - 1][0], x))},${at.y(wy(line[i - 1][1], y))}L${at.x(x)},${at.y(y)}`
        : `M${at.x(x)},${at.y(y)}`,
    )
    .join("");
  const ex = mx.sense === "max" ? box.l : box.r,
    ey = my.sense === "max" ? box.b : box.t,
    [first, last] = [line[0], line[line.length - 1]];
  const [start, end] =
    mx.sense === "max"
      ? [`M${ex},${at.y(first[1])}L`, `L${at.x(last[0])},${ey}L${ex},${ey}Z`]
      : [`M${at.x(first[0])},${ey}L`, `L${ex},${at.y(last[1])}L${ex},${ey}Z`];
  return [svg("path", { class: "region", d: start + d.slice(1) + end }), svg("path", { class: "stairs", d })];
}
function intervals(p, mx, my, at, box, colour) {
  const a = mx.get(p),
    b = my.get(p),
    cut = (v, [low, high]) => Math.max(low, Math.min(high, v)),
    x = v => cut(at.x(v), [box.l, box.r]),
    y = v => cut(at.y(v), [box.t, box.b]);
  const line = (x1, x2, y1, y2) => svg("line", { class: "err", stroke: colour, x1, x2, y1, y2 });
  return svg(
    "g",
    {},
    line(x(a.low), x(a.high), y(b.value), y(b.value)),
    line(x(a.value), x(a.value), y(b.low), y(b.high)),
  );
}
function predictedPoint(d, at) {
  const p = { x: at.x(d.x.value), y: at.y(d.y.value) };
  return [svg("circle", { class: "predicted", cx: p.x, cy: p.y, r: 4.5 })];
}
function pointShapes({ p, x, y }, wish) {
  const colour = wish.colour(p),
    chosen = p.number === wish.chosen,
    r = p.role !== "search" ? 6.5 : p.on_front ? 6 : 4;
  return [
    chosen && svg("circle", { cx: x, cy: y, r: 12, fill: colour, opacity: 0.25 }),
    p.knee && svg("circle", { cx: x, cy: y, r: 11, fill: "none", stroke: css("--knee"), "stroke-width": 2.5 }),
    shape(p, x, y, colour, r),
  ].filter(Boolean);
}
const OUTLINES = {
  parallel_only: (x, y, r) => `M${x},${y - r * 1.2}l${r * 1.2},${r * 2.1}h${-r * 2.4}z`,
  mono_one_to_one: (x, y, r) =>
    `M${x},${y - r * 1.4}l${r * 1.4},${r * 1.4}l${-r * 1.4},${r * 1.4}l${-r * 1.4},${-r * 1.4}z`,
  mono_two_to_one: (x, y, r) =>
    `M${x},${y - r * 1.5}l${r * 0.9},${r * 1.5}l${-r * 0.9},${r * 1.5}l${-r * 0.9},${-r * 1.5}z`,
  uniform: (x, y, r) =>
    `M${x - r * 0.45},${y - r * 1.2}h${r * 0.9}v${r * 0.75}h${r * 0.75}v${r * 0.9}h${-r * 0.75}v${r * 0.75}h${-r * 0.9}v${-r * 0.75}h${-r * 0.75}v${-r * 0.9}h${r * 0.75}z`,
};
function shape(p, x, y, colour, r) {
  const look = { fill: colour, stroke: css("--card"), "stroke-width": 1 };
  if (p.role === "base") return svg("rect", { x: x - r, y: y - r, width: 2 * r, height: 2 * r, ...look });
  return OUTLINES[p.role]
    ? svg("path", { d: OUTLINES[p.role](x, y, r), ...look })
    : svg("circle", { cx: x, cy: y, r, ...look });
}
function labels(spots, wish, box) {
  const taken = [],
    find = test => spots.filter(s => test(s.p));
  const wanted = [
    ...find(p => p.role !== "search").map(s => [s, ROLES[s.p.role] ?? s.p.role, ROLE_COLOUR[s.p.role] ?? "--other"]),
    ...find(p => p.knee && p.role === "search").map(s => [s, `knee: trial ${s.p.number}`, "--knee"]),
    ...find(p => p.number === wish.chosen && p.role === "search" && !p.knee).map(s => [
      s,
      `trial ${s.p.number}`,
      "--front",
    ]),
  ];
  const near = spots.length > 400 ? spots.filter(s => s.p.on_front) : spots;
  return wanted.map(([s, text, colour]) => {
    const w = text.length * 6.9,
      places = [
        [14, -12],
        [14, 20],
        [-14 - w, -12],
        [-14 - w, 20],
        [-w / 2, -20],
        [-w / 2, 28],
      ];
    const cost = ([dx, dy]) => {
      const l = s.x + dx,
        t = s.y + dy - 12,
        hit = o => o.x > l - 5 && o.x < l + w + 5 && o.y > t - 3 && o.y < t + 18;
      return (
        near.filter(hit).length +
        5 * taken.filter(o => o[0] < l + w && o[0] + o[2] > l && Math.abs(o[1] - t) < 16).length +
        (l < box.l || l + w > box.r || t < 0 || t > box.b - 14 ? 9 : 0)
      );
    };
    const [dx, dy] = places.reduce((a, b) => (cost(b) < cost(a) ? b : a)),
      left = Math.max(box.l, Math.min(box.r - w, s.x + dx));
    taken.push([left, s.y + dy - 12, w]);
    return svg("text", { class: "name", x: left, y: s.y + dy, style: { fill: css(colour) } }, text);
  });
}

const NEAR = 18; // pixels within which the pointer finds a point
function listen(root, spots, events, speak) {
  const order = [...spots].sort((a, b) => a.x - b.x),
    ring = svg("circle", { class: "ring", r: 10, visibility: "hidden" });
  root.append(ring);
  let at = -1;
  const nearest = event => {
    const box = root.getBoundingClientRect(),
      k = box.width / root.viewBox.baseVal.width,
      [x, y] = [(event.clientX - box.left) / k, (event.clientY - box.top) / k];
    const far = s => (s.x - x) ** 2 + (s.y - y) ** 2,
      best = spots.reduce((a, b) => (far(b) < far(a) ? b : a));
    return far(best) < NEAR ** 2 ? best : null;
  };
  const place = (s, x, y) => {
    ring.setAttribute("cx", s.x);
    ring.setAttribute("cy", s.y);
    ring.setAttribute("visibility", "visible");
    showTip(events.tip(s.p, speak(s.p)), x, y);
  };
  const leave = () => {
    ring.setAttribute("visibility", "hidden");
    hideTip();
  };
  root.addEventListener("pointermove", event => {
    const s = nearest(event);
    root.style.cursor = s ? "pointer" : "";
    if (s) place(s, event.clientX, event.clientY);
    else leave();
  });
  root.addEventListener("pointerleave", leave);
  root.addEventListener("blur", leave);
  root.addEventListener("click", event => {
    const s = nearest(event);
    if (s) events.choose(s.p.number);
  });
  root.addEventListener("keydown", event => {
    const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
    if (by) {
      event.preventDefault();
      at = Math.max(0, Math.min(order.length - 1, at + by));
      const box = root.getBoundingClientRect();
      place(
        order[at],
        box.left + (order[at].x * box.width) / root.viewBox.baseVal.width,
        box.top + (order[at].y * box.height) / root.viewBox.baseVal.height,
      );
    }
    if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      event.preventDefault();
      events.choose(order[at].p.number);
    }
    if (event.key === "Escape") leave();
  });
}
