// Curves of parameters, with bands, and the laws of the run.
import { css, el, own, pick, sheet, svg } from "./dom.js";
import { empty, extent, short } from "./format.js";
import { scale } from "./scales.js";

export function curvesSection() {
  const node = el("section", { id: "curves", "aria-label": "Parameters and laws" }),
    mine = { measure: "" };
  return {
    node,
    needs: ["effects"],
    update: page => {
      const { effects, effectsNote } = page.data;
      node.hidden = !effects && !effectsNote;
      node.replaceChildren(
        el("h2", {}, "Parameters and laws"),
        ...(effects ? content(page, effects, mine) : [el("p", { class: "soft" }, own(effectsNote ?? ""))]),
      );
    },
  };
}
function content(page, found, mine) {
  const measure = found.effects.find(m => m.measure === mine.measure) ?? found.effects[0];
  return [
    measure &&
      el(
        "div",
        { class: "bar" },
        el(
          "p",
          { class: "soft small" },
          "The difference from the base model along each parameter, averaged over the rest of the space, with its 95 % interval; the most important parameter first.",
        ),
        pick(
          "measure",
          measure.measure,
          found.effects.map(m => [m.measure, m.measure]),
          value => {
            mine.measure = value;
            page.redraw("effects");
          },
        ),
      ),
    measure &&
      el(
        "ul",
        { class: "cards curves" },
        measure.effects.map(effect =>
          el(
            "li",
            {},
            el("h3", {}, own(effect.parameter)),
            el(
              "p",
              { class: "soft small" },
              `${Math.round(100 * effect.share)} % of the variance (${Math.round(100 * effect.low)} – ${Math.round(100 * effect.high)})`,
            ),
            curve(measure.measure, effect),
          ),
        ),
      ),
    ...laws(found.laws),
  ].filter(Boolean);
}
function curve(name, effect) {
  const w = 260,
    h = 150,
    left = 44,
    points = effect.curve,
    numeric = points.every(p => typeof p.value === "number"),
    values = numeric ? points.map(p => p.value) : points.map((_, i) => i);
  const x = scale(values, left + 4, w - 8, { log: true, count: 4 }),
    y = scale([0, ...points.flatMap(p => [p.low, p.high])], h - 24, 8, { count: 4, pad: 0.04 }),
    [low, high] = extent(points.map(p => p.mean));
  const line = key => points.map((p, i) => `${x(values[i]).toFixed(1)},${y(p[key]).toFixed(1)}`),
    summary = `${name} along ${effect.parameter}: from ${short(points[0]?.mean)} to ${short(points[points.length - 1]?.mean)}, between ${short(low)} and ${short(high)}`;
  const root = svg(
    "svg",
    { viewBox: `0 0 ${w} ${h}`, role: "img", "aria-label": summary },
    y.ticks.map(t => [
      svg("line", { class: "grid", x1: left, x2: w - 4, y1: y(t), y2: y(t) }),
      svg("text", { x: left - 5, y: y(t) + 4, "text-anchor": "end" }, y.text(t)),
    ]),
    svg("line", { class: "zero", x1: left, x2: w - 4, y1: y(0), y2: y(0) }),
  );
  if (numeric)
    root.append(
      svg("path", { class: "band", d: `M${[...line("low"), ...line("high").reverse()].join("L")}Z` }),
      svg("path", { d: `M${line("mean").join("L")}`, fill: "none", stroke: css("--front"), "stroke-width": 2 }),
      ...x.ticks
        .filter((_, i) => x.ticks.length < 6 || i % 2 === 0)
        .map(t => svg("text", { x: x(t), y: h - 8, "text-anchor": "middle" }, x.text(t))),
    );
  else
    points.forEach((p, i) =>
      root.append(
        svg("line", {
          x1: x(i),
          x2: x(i),
          y1: y(p.low),
          y2: y(p.high),
          stroke: css("--front"),
          "stroke-width": 6,
          opacity: 0.25,
        }),
        svg("circle", { cx: x(i), cy: y(p.mean), r: 4, fill: css("--front") }),
        svg(
          "text",
          { x: x(i), y: h - 8, "text-anchor": i === 0 ? "start" : i === points.length - 1 ? "end" : "middle" },
          String(p.value).slice(0, 14),
        ),
      ),
    );
  return root;
}
function laws(found) {
  if (!found) return [];
  const skipped = Object.entries(found.skipped ?? {}).map(([name, reason]) => `${name}: no law (${reason})`);
  return [
    el("h3", {}, `Laws, fitted to ${found.recipes} recipes`),
    ...found.measures.map(m =>
      el(
        "details",
        { class: "small" },
        el("summary", {}, own(m.name), ` · ${m.form}`),
        sheet(
          `Law of ${m.name}`,
          ["parameter", "value", "95 % interval", "meaning"],
          [0, 3],
          m.parameters.map(p =>
            el(
              "tr",
              {},
              el("th", { scope: "row", class: "left" }, p.name),
              el("td", {}, short(p.value)),
              el("td", { class: "soft" }, `${short(p.low)} – ${short(p.high)}`),
              el("td", { class: "left" }, p.meaning),
            ),
          ),
        ),
        el("p", { class: "soft" }, `n in units of ${short(m.reference_size)}, r of ${short(m.reference_rate)}`),
        el(
          "ul",
          {},
          m.sentences.map(s => el("li", {}, own(s))),
        ),
      ),
    ),
    !empty(found.optimum) && el("p", { class: "small" }, own(found.optimum.text)),
    [...skipped, ...found.notes].length > 0 &&
      el(
        "ul",
        { class: "small soft" },
        [...skipped, ...found.notes].map(s => el("li", {}, own(s))),
      ),
  ].filter(Boolean);
}
