// The front: the chart with its choices, the chosen recipe, and the comparison with the baselines.
import { badge, css, el, folded, hideTip, own, pick, rows, svg, tick, wide } from "./dom.js";
import { chance, empty, extent, pointName, ROLES, short, signed, trialName, whose, withDifference } from "./format.js";
import { marks } from "./answer.js";
import { chart, plainColour } from "./chart.js";
import { readFront } from "./measures.js";
import { colouring, DARK, KINDS, ramps } from "./scales.js";

export function frontSection() {
  const node = el("div", { id: "front" });
  return { node, needs: ["front"], redraws: true, update: page => {
    const had = node.contains(document.activeElement) && document.activeElement.closest("svg");
    node.replaceChildren(...(page.data.front ? content(page, node) : []));
    if (had) node.querySelector("svg[tabindex]")?.focus();
  } };
}
function content(page, node) {
  const { front } = page.data, { choices } = page, read = readFront(front, choices.against);
  if (!read.measure(choices.x)) choices.x = read.measures[0].key;
  if (!read.measure(choices.y)) choices.y = (read.measures[1] ?? read.measures[0]).key;
  if (!read.points.some(p => p.number === choices.chosen)) choices.chosen = front.answer?.number ?? front.knee;
  if (!read.points.some(p => p.number === choices.chosen)) choices.chosen = front.knee;
  const colour = colours(read, choices.colour), options = read.measures.map(m => [m.key, m.key]), set = name => value => { choices[name] = value; page.redraw("front"); };
  const plot = el("div", { class: "plot" }), events = { choose: number => { hideTip(); page.choose(number); }, tip: (p, text) => tipOf(read, p, text) };
  const hasPredicted = (front.modelled ?? []).some(p => p.number === null);
  requestAnimationFrame(() => plot.replaceChildren(chart(read, { ...choices, colour: colour.of }, Math.max(280, plot.clientWidth), events)));
  return [el("div", { class: "split" },
    el("section", { "aria-label": "Front" }, el("div", { class: "bar" }, el("h2", {}, "Front"), pick("across", choices.x, options, set("x")), pick("up", choices.y, options, set("y")),
      pick("values", read.against, [...read.references.map(p => [String(p.number), `minus ${whose(p)}`]), ["", "as they are"]], set("against")),
      pick("colour", choices.colour, [["", "front"], ...read.parameters.map(k => ["p:" + k, k]), ...read.measures.map(m => ["m:" + m.key, m.key])], set("colour")),
      hasPredicted && tick("predicted recipes", choices.predicted, set("predicted"))), plot, legend(read, choices, colour, hasPredicted)),
    detail(read, read.points.find(p => p.number === choices.chosen), node)),
  front.comparisons.length > 0 && el("section", { "aria-label": "Against the baselines" }, el("h2", {}, "Against the baselines"), comparisons(read, events),
    el("div", { class: "soft small notes" }, comparisonNotes(front).map(note => el("div", {}, note))))].filter(Boolean);
}
function colours(read, choice) {
  if (!choice) return { of: plainColour };
  const key = choice.slice(2), get = choice[0] === "m" ? (p => p.role === "search" ? read.measure(key)?.get(p)?.value : null) : (p => p.role === "search" ? p.recipe[key] : null);
  return { key, ...colouring(read.points, get, plainColour) };
}
function legend(read, choices, colour, hasPredicted) {
  const dot = (fill, text) => el("span", {}, el("i", { style: { background: fill } }), own(text));
  const lead = !choices.colour ? [dot(css("--front"), "on the front"), dot(css("--other"), "other recipes")] : colour.kinds ? colour.kinds.map((k, i) => dot(KINDS[i % KINDS.length], k))
    : [el("span", {}, own(colour.key), " ", short(colour.range?.[0]), el("i", { class: "ramp", style: { background: `linear-gradient(90deg,${ramps().map(v => `rgb(${v})`)})` } }), short(colour.range?.[1]))];
  return el("div", { class: "legend" }, lead, el("span", {}, `bars: ${read.intervals}, cut at the edge`), el("span", {}, "ring: knee"), read.of && el("span", {}, "dashed: no difference"),
    read.front.objectives.length === 2 && el("span", {}, "shaded: dominated"), hasPredicted && choices.predicted && el("span", {}, read.of?.role === "base" || !read.of ? "hollow: predicted, not trained" : "predicted recipes are shown as they are, or minus the base model’s"));
}
const recipeOf = (read, p) => read.parameters.filter(k => !empty(p.recipe[k])).map(k => [k, own(short(p.recipe[k]))]);
function tipOf(read, p, text) {
  return el("div", {}, el("span", { class: "unseen" }, text), el("div", { "aria-hidden": "true" }, el("b", {}, pointName(p)), " ", marks(p, read.front),
    rows([...read.measures.filter(m => m.objective).map(m => [m.key, m.shown(p)]), ["P(front)", chance(p.p_front)], ...recipeOf(read, p).slice(0, 12)])));
}
function detail(read, p, node) {
  const { front } = read, copy = el("button", { onclick: () => navigator.clipboard?.writeText(p.command).then(() => { copy.textContent = "Copied"; }) }, "Copy");
  const seeds = p.trials.length > 1 ? `${p.replicates} (trials ${p.trials.slice(0, 8).join(", ")}${p.trials.length > 8 ? ", …" : ""})` : "1";
  return el("section", { class: "detail", "aria-label": "Chosen recipe" }, el("h2", {}, pointName(p), " ", marks(p, front)), p.role !== "search" && p.role !== "base" && el("p", { class: "soft small" }, `trial ${p.number}`),
    el("h3", {}, "Objectives"), el("p", { class: "soft small" }, !read.of ? "values as they are" : p === read.of ? "its own values; the others’ are compared with it" : `minus ${whose(read.of)}, ${read.intervals}`),
    rows([...read.measures.filter(m => m.objective).map(m => [m.key, m.shown(p)]), ["P(front)", chance(p.p_front)], ...(p.role === "base" ? [] : [["seeds", seeds]])]),
    p.role !== "base" && [el("h3", {}, "Recipe"), rows(recipeOf(read, p))], secondMetrics(read, p),
    folded("All that was measured", rows(read.measures.filter(m => !m.objective && m.own(p)).map(m => [m.key, m.shown(p)]))),
    el("h3", {}, "Again"), el("pre", {}, p.command), el("div", {}, navigator.clipboard && copy, " ", el("span", { class: "soft small" }, own(p.record))));
}
// what the optimised metric gains, beside a metric that is built differently
function secondMetrics(read, p) {
  const found = read.front.second_metrics.flatMap(s => s.gains.filter(g => g.number === p.number).map(g => [s, g]));
  const difference = (d, key) => withDifference({ value: d.gap, low: d.low, high: d.high }, read.measure(key)?.size);
  return found.length > 0 && [el("h3", {}, "A second metric, gains over the base model"), found.map(([s, g]) => [rows([[s.objective, difference(g.first, s.objective)], [s.metric, difference(g.second, s.metric)]]),
    g.disagreement && el("p", { class: "small" }, badge("disagree beyond noise", "bad"), " ", g.disagreement === "opposite" ? "One gains and the other loses." : `${s.metric} gains less than is comparable.`)])];
}
function gainPlot(gain, range) {
  const w = 160, at = v => 6 + (v - range[0]) / (range[1] - range[0]) * (w - 12), colour = css(gain.verdict === "better" ? "--good" : "--soft");
  return svg("svg", { viewBox: `0 0 ${w} 22`, height: 22, preserveAspectRatio: "none", "aria-hidden": true },
    svg("line", { x1: at(0), x2: at(0), y1: 0, y2: 22, stroke: css("--soft"), "stroke-dasharray": "3 2" }),
    svg("line", { x1: at(gain.low), x2: at(gain.high), y1: 11, y2: 11, stroke: colour, "stroke-width": 3, opacity: .7 }),
    svg("line", { x1: at(gain.gain), x2: at(gain.gain), y1: 5, y2: 17, stroke: colour, "stroke-width": 3 }));
}
function comparisons(read, events) {
  const found = read.front.comparisons.flatMap(c => c.gains.map((g, i) => ({ c, g, first: i === 0, last: i === c.gains.length - 1 }))), rated = found.some(({ g }) => !empty(g.agreement));
  const range = name => { const [low, high] = extent([0, ...found.filter(({ g }) => g.objective === name && g.number !== null).flatMap(({ g }) => [g.low, g.high])]), pad = (high - low) * .06 || 1; return [low - pad, high + pad]; };
  const size = g => read.measure(g.objective).size, head = ["front against", "objective", "gain", "95 % interval", "", "verdict", "trial", ...(rated ? ["raters"] : [])];
  return wide("The front against the baselines", el("table", { class: "all" }, el("thead", {}, el("tr", {}, head.map((h, i) => el(h ? "th" : "td", { scope: h && "col", class: i < 2 || i === 5 ? "left" : "" }, h)))),
    el("tbody", {}, found.map(({ c, g, first, last }) => el("tr", { class: last ? "" : "next" }, el("td", { class: "left" }, first && ROLES[c.role]), el("td", { class: "left" }, own(g.objective)),
      g.number === null ? [el("td", {}, "–"), el("td", {}), el("td", {})] : [el("td", {}, el("b", {}, signed(g.gain, size(g)))), el("td", { class: "soft" }, `${signed(g.low, size(g))} to ${signed(g.high, size(g))}`), el("td", {}, gainPlot(g, range(g.objective)))],
      el("td", { class: "left" }, badge(g.verdict, g.verdict === "better" ? "good" : "")),
      el("td", {}, g.number === null ? "–" : [el("button", { class: "link", onclick: () => events.choose(g.number), "aria-label": `Choose trial ${g.number}` }, trialName(g.number)), g.matched === "noise" && "~"]),
      rated && el("td", {}, empty(g.agreement) ? "–" : `${Math.round(100 * g.agreement)}%`))))));
}
function comparisonNotes(front) {
  const gains = front.comparisons.flatMap(c => c.gains), metrics = [...new Set(gains.map(g => g.agreement_metric).filter(m => !empty(m)))];
  return [`gain: positive is better; of the front’s searched point that is best in this objective among those not worse than the baseline in the others. The interval holds for all of ${gains[0].candidates} recipes, ${front.comparisons.length} baselines and ${front.objectives.length} objectives at once, whichever is picked. Dashed: no gain.`,
    gains.some(g => g.verdict === "no interval") && "no interval: a cost has no segments to resample, and no recipe was trained twice, so how much of the difference is chance is not known.",
    gains.some(g => g.verdict === "cheaper") && "cheaper: beyond the spread of the cost over repeated trainings, which alone does not make the front better than a baseline.",
    gains.some(g => g.matched === "noise") && "~: worse than the baseline in another objective, but within noise.",
    gains.some(g => g.number === null) && "none as good: every point of the front is worse in the other objectives.",
    metrics.length > 0 && `raters: the share of human raters expected to agree with a difference of this size (${metrics.join(", ")}), taken as given.`].filter(Boolean);
}
export const onDarkChange = redraw => DARK.addEventListener("change", redraw);
