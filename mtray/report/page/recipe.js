// The recipe that is chosen, or pointed at.
import { badge, el, folded, own, rows } from "./dom.js";
import { chance, empty, pointName, short, whose, withDifference } from "./format.js";
import { marks } from "./answer.js";

const recipeOf = (read, p) => read.parameters.filter(k => !empty(p.recipe[k])).map(k => [k, own(short(p.recipe[k]))]);
export function tipOf(read, p, text) {
  return el(
    "div",
    {},
    el("span", { class: "unseen" }, text),
    el(
      "div",
      { "aria-hidden": "true" },
      el("b", {}, pointName(p)),
      " ",
      marks(p, read.front),
      rows([
        ...read.measures.filter(m => m.objective).map(m => [m.key, m.shown(p)]),
        ["P(front)", chance(p.p_front)],
        ...recipeOf(read, p).slice(0, 12),
      ]),
    ),
  );
}
export function detail(read, p) {
  const { front } = read,
    copy = el(
      "button",
      {
        onclick: () =>
          navigator.clipboard?.writeText(p.command).then(() => {
            copy.textContent = "Copied";
          }),
      },
      "Copy",
    );
  const seeds =
    p.trials.length > 1
      ? `${p.replicates} (trials ${p.trials.slice(0, 8).join(", ")}${p.trials.length > 8 ? ", …" : ""})`
      : "1";
  return el(
    "section",
    { class: "detail", "aria-label": "Chosen recipe" },
    el("h2", {}, pointName(p), " ", marks(p, front)),
    p.role !== "search" && p.role !== "base" && el("p", { class: "soft small" }, `trial ${p.number}`),
    el("h3", {}, "Objectives"),
    el(
      "p",
      { class: "soft small" },
      !read.of
        ? "values as they are"
        : p === read.of
          ? "its own values; the others’ are compared with it"
          : `minus ${whose(read.of)}, ${read.intervals}`,
    ),
    rows([
      ...read.measures.filter(m => m.objective).map(m => [m.key, m.shown(p)]),
      ["P(front)", chance(p.p_front)],
      ...(p.role === "base" ? [] : [["seeds", seeds]]),
    ]),
    p.role !== "base" && [el("h3", {}, "Recipe"), rows(recipeOf(read, p))],
    secondMetrics(read, p),
    folded(
      "All that was measured",
      rows(read.measures.filter(m => !m.objective && m.own(p)).map(m => [m.key, m.shown(p)])),
    ),
    el("h3", {}, "Again"),
    el("pre", {}, p.command),
    el("div", {}, navigator.clipboard && copy, " ", el("span", { class: "soft small" }, own(p.record))),
  );
}
// what the optimised metric gains, beside a metric that is built differently
function secondMetrics(read, p) {
  const found = read.front.second_metrics.flatMap(s => s.gains.filter(g => g.number === p.number).map(g => [s, g]));
  const difference = (d, key) => withDifference({ value: d.gap, low: d.low, high: d.high }, read.measure(key)?.size);
  return (
    found.length > 0 && [
      el("h3", {}, "A second metric, gains over the base model"),
      found.map(([s, g]) => [
        rows([
          [s.objective, difference(g.first, s.objective)],
          [s.metric, difference(g.second, s.metric)],
        ]),
        g.disagreement &&
          el(
            "p",
            { class: "small" },
            badge("disagree beyond noise", "bad"),
            " ",
            g.disagreement === "opposite"
              ? "One gains and the other loses."
              : `${s.metric} gains less than is comparable.`,
          ),
      ]),
    ]
  );
}
