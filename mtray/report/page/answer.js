// The answer so far: which recipe to use, what it gains, and how certain that is.
import { badge, el, own, sheet } from "./dom.js";
import { gainCells } from "./baselines.js";
import { chance, empty, pointName, ROLES, fixed, signed } from "./format.js";
import { readFront } from "./measures.js";

export function answerSection() {
  const node = el("section", { id: "answer", "aria-label": "Answer" });
  return {
    node,
    needs: ["front", "state"],
    update: page => node.replaceChildren(...content(page).flat(Infinity).filter(Boolean)),
  };
}
function content(page) {
  const { front, frontNote, state } = page.data;
  if (!front) return [el("h2", {}, "Answer"), el("p", {}, own(frontNote || waiting(state)))];
  const { answer } = front,
    read = readFront(front, page.choices.against);
  if (!answer)
    return [
      el("h2", {}, "Answer"),
      el("p", {}, "There is no answer before the base model and a recipe are measured."),
      facts(front),
    ];
  const [head, ...rest] = answer.text;
  return [
    el("h2", {}, answer.settled ? "Answer" : "Answer so far, not settled"),
    el("p", {}, el("b", {}, own(head))),
    rest.map(line => el("p", { class: "small" }, own(line))),
    against(answer, read),
    facts(front),
    answer.commands.length > 0 && [
      el("h3", {}, "Next"),
      answer.commands.map(([command, what]) => el("pre", {}, `${command}  # ${what}`)),
    ],
  ];
}
const waiting = state =>
  state?.starting ? "The sweep prepares its data." : state?.sweep ? "No trial has ended yet." : "No trial is complete.";

function against(answer, read) {
  const rows = answer.against.flatMap(b =>
    b.gains.map((g, i) => ({ b, g, first: i === 0, last: i === b.gains.length - 1 })),
  );
  const size = name => read.measure(name)?.size,
    head = ["answer against", "objective", "expected gain", "95 % interval", "P(better)"];
  return (
    rows.length > 0 &&
    sheet(
      "The answer against the baselines",
      head,
      [0, 1],
      rows.map(({ b, g, first, last }) =>
        el(
          "tr",
          { class: last ? "" : "next" },
          el("td", { class: "left" }, first && ROLES[b.role]),
          el("td", { class: "left" }, own(g.objective)),
          gainCells(g, size(g.objective)),
          el("td", {}, chance(g.better)),
        ),
      ),
    )
  );
}
const fact = (value, text) => el("div", {}, el("b", {}, value), el("span", { class: "soft small" }, text));
function facts(front) {
  const searched = front.points.filter(p => p.role === "search"),
    trials = searched.reduce((n, p) => n + p.trials.length, 0),
    knee = front.points.find(p => p.knee);
  const ended = [
    ["pruned", front.pruned],
    ["stopped", front.stopped],
    ["infeasible", front.infeasible],
    ["failed", front.failed],
  ]
    .map(([name, found]) => [Object.keys(found ?? {}).length, name])
    .filter(([n]) => n);
  const gain = empty(front.baseline_hypervolume) ? null : front.hypervolume - front.baseline_hypervolume;
  return el(
    "div",
    { class: "facts" },
    fact(
      searched.length.toLocaleString("en"),
      `recipes searched in ${trials.toLocaleString("en")} trials${ended.map(([n, name]) => `, ${n} ${name}`).join("")}`,
    ),
    fact(front.front.length, "points on the front"),
    knee && fact(pointName(knee), "the knee, the best balance"),
    front.comparisons.length > 0 &&
      fact(
        `${front.comparisons.filter(c => c.better).length} of ${front.comparisons.length}`,
        "baselines beaten beyond noise",
      ),
    fact(
      fixed(front.hypervolume),
      gain === null ? "hypervolume" : `hypervolume, ${signed(gain)} over the baselines alone`,
    ),
  );
}
export const marks = (point, front) => [
  point.knee && [badge("knee", "knee"), " "],
  point.on_front && [badge("on the front", "on"), " "],
  doubts(point, front).length > 0 &&
    badge(
      "metrics disagree",
      "bad",
      doubts(point, front)
        .map(s => `${s.objective} and ${s.metric}`)
        .join("; "),
    ),
];
const doubts = (point, front) =>
  front.second_metrics.filter(s => s.gains.some(g => g.number === point.number && g.disagreement));
