// One trial's course, or two recipes parameter by parameter.
import { el, own, rows, sheet } from "./dom.js";
import { duration, empty, fixed, short, trialName, withInterval } from "./format.js";
import { lossCurve } from "./running.js";

export function compareTrials(my) {
  const found = my.compared.map(n => my.table.rows.find(r => r.number === n)).filter(Boolean),
    state = JSON.stringify(found);
  if (my.besideState === state) return;
  my.besideState = state;
  my.beside.replaceChildren(
    ...(found.length === 2
      ? two(my, ...found)
      : found.length === 1
        ? one(found[0])
        : [el("p", { class: "soft small" }, "Tick one trial to see its loss curve, two to compare their recipes.")]),
  );
}
function one(r) {
  return [
    el("h3", {}, `Trial ${trialName(r.number)}`),
    r.reason && el("p", {}, own(r.reason)),
    r.loss.length > 1 && lossCurve(r.loss, `Loss of trial ${trialName(r.number)}`),
    rows([
      ["state", r.state],
      ...(empty(r.steps) ? [] : [["steps", short(r.steps)]]),
      ...Object.entries(r.seconds).map(([k, v]) => [`time: ${k.replaceAll("_", " ")}`, duration(v)]),
    ]),
    el("p", { class: "soft small" }, "Tick a second trial to compare their recipes."),
  ].filter(Boolean);
}
function two(my, a, b) {
  const { table } = my,
    names = [a, b].map(r => `trial ${trialName(r.number)}`);
  const line = (key, show, differs, apart) =>
    el(
      "tr",
      { class: differs ? "differs" : "" },
      el("th", { scope: "row", class: "left" }, own(key)),
      el("td", {}, show(a)),
      el("td", {}, show(b)),
      el("td", { class: "soft" }, differs ? apart : "same"),
    );
  const parameters = table.varied.map(key =>
    line(key, r => own(short(r.recipe[key])), a.recipe[key] !== b.recipe[key], ratio(a.recipe[key], b.recipe[key])),
  );
  const scores = [...table.objectives, ...table.measures]
    .filter(key => a.scores[key] || b.scores[key])
    .map(key => {
      const [u, v] = [a.scores[key], b.scores[key]],
        size = Math.max(Math.abs(u?.value ?? 0), Math.abs(v?.value ?? 0));
      return line(
        key,
        r => withInterval(r.scores[key], size),
        u?.value !== v?.value,
        u && v ? `${v.value < u.value ? "−" : "+"}${fixed(Math.abs(v.value - u.value), size)}` : "",
      );
    });
  const block = title => el("tr", {}, el("th", { scope: "colgroup", colspan: 4, class: "left block" }, title));
  return [
    el("h3", {}, `${names[0]} and ${names[1]}`),
    sheet(
      "Two recipes",
      ["", ...names, "second minus first"],
      [0],
      [block("recipe"), parameters, block("scores, each with its own interval"), scores],
      "all two",
    ),
  ];
}
function ratio(a, b) {
  if (typeof a !== "number" || typeof b !== "number") return "differs";
  return a > 0 && b > 0 && (b / a >= 2 || a / b >= 2)
    ? `× ${short(b / a)}`
    : `${b < a ? "−" : "+"}${short(Math.abs(b - a))}`;
}
