// The front against the baselines: gains with intervals that hold for all of them at once.
import { badge, css, el, own, sheet, svg } from "./dom.js";
import { empty, extent, ROLES, signed, trialName } from "./format.js";

function gainPlot(gain, range) {
  const w = 160,
    at = v => 6 + ((v - range[0]) / (range[1] - range[0])) * (w - 12),
    colour = css(gain.verdict === "better" ? "--good" : "--soft");
  return svg(
    "svg",
    { viewBox: `0 0 ${w} 22`, height: 22, preserveAspectRatio: "none", "aria-hidden": true },
    svg("line", { x1: at(0), x2: at(0), y1: 0, y2: 22, stroke: css("--soft"), "stroke-dasharray": "3 2" }),
    svg("line", {
      x1: at(gain.low),
      x2: at(gain.high),
      y1: 11,
      y2: 11,
      stroke: colour,
      "stroke-width": 3,
      opacity: 0.7,
    }),
    svg("line", { x1: at(gain.gain), x2: at(gain.gain), y1: 5, y2: 17, stroke: colour, "stroke-width": 3 }),
  );
}
export function comparisons(read, events) {
  const found = read.front.comparisons.flatMap(c =>
      c.gains.map((g, i) => ({ c, g, first: i === 0, last: i === c.gains.length - 1 })),
    ),
    rated = found.some(({ g }) => !empty(g.agreement));
  const range = name => {
    const [low, high] = extent([
        0,
        ...found.filter(({ g }) => g.objective === name && g.number !== null).flatMap(({ g }) => [g.low, g.high]),
      ]),
      pad = (high - low) * 0.06 || 1;
    return [low - pad, high + pad];
  };
  const size = g => read.measure(g.objective).size,
    head = [
      "front against",
      "objective",
      "gain",
      "95 % interval",
      "",
      "verdict",
      "trial",
      ...(rated ? ["raters"] : []),
    ];
  return sheet(
    "The front against the baselines",
    head,
    [0, 1, 5],
    found.map(({ c, g, first, last }) =>
      el(
        "tr",
        { class: last ? "" : "next" },
        el("td", { class: "left" }, first && ROLES[c.role]),
        el("td", { class: "left" }, own(g.objective)),
        g.number === null
          ? [el("td", {}, "–"), el("td", {}), el("td", {})]
          : [gainCells(g, size(g)), el("td", {}, gainPlot(g, range(g.objective)))],
        el("td", { class: "left" }, badge(g.verdict, g.verdict === "better" ? "good" : "")),
        el(
          "td",
          {},
          g.number === null
            ? "–"
            : [
                el(
                  "button",
                  {
                    class: "link",
                    onclick: () => events.choose(g.number),
                    "aria-label": `Choose trial ${g.number}`,
                  },
                  trialName(g.number),
                ),
                g.matched === "noise" && "~",
              ],
        ),
        rated && el("td", {}, empty(g.agreement) ? "–" : `${Math.round(100 * g.agreement)}%`),
      ),
    ),
  );
}
// a gain and its interval
export const gainCells = (g, size) => [
  el("td", {}, el("b", {}, signed(g.gain, size))),
  el("td", { class: "soft" }, `${signed(g.low, size)} to ${signed(g.high, size)}`),
];
export function comparisonNotes(front) {
  const gains = front.comparisons.flatMap(c => c.gains),
    metrics = [...new Set(gains.map(g => g.agreement_metric).filter(m => !empty(m)))];
  return [
    `gain: positive is better; of the front’s searched point that is best in this objective among those not worse than the baseline in the others. The interval holds for all of ${gains[0].candidates} recipes, ${front.comparisons.length} baselines and ${front.objectives.length} objectives at once, whichever is picked. Dashed: no gain.`,
    gains.some(g => g.verdict === "no interval") &&
      "no interval: a cost has no segments to resample, and no recipe was trained twice, so how much of the difference is chance is not known.",
    gains.some(g => g.verdict === "cheaper") &&
      "cheaper: beyond the spread of the cost over repeated trainings, which alone does not make the front better than a baseline.",
    gains.some(g => g.matched === "noise") && "~: worse than the baseline in another objective, but within noise.",
    gains.some(g => g.number === null) && "none as good: every point of the front is worse in the other objectives.",
    metrics.length > 0 &&
      `raters: the share of human raters expected to agree with a difference of this size (${metrics.join(", ")}), taken as given.`,
  ].filter(Boolean);
}
