// One segment: what was given, and the answers side by side with their differences marked.
import { badge, el, own } from "./dom.js";
import { empty, signed } from "./format.js";
import { marked } from "./diff.js";

export const gain = (segment, base) => {
  const [a, b] = base ? [segment.answers[1], segment.answers[0]] : [segment.answers[0]];
  return empty(a?.score) ? null : empty(b?.score) ? (base ? null : a.score) : a.score - b.score;
};
const address = (my, index) =>
  `#${new URLSearchParams([...(my.page.run ? [["run", my.page.run]] : []), ["segment", `${my.set}/${index}`], ["trials", my.trials.join(",")], ["metric", my.metric]])}`;
export function segment(my, s) {
  const translation = my.known.sets.find(k => k.name === my.found.set)?.translation,
    base = my.found.trials[0] === "base" && my.found.trials.length > 1,
    apart = gain(s, base),
    linked = s.index === my.at;
  const text = (name, value) =>
    value && el("div", { class: "given" }, el("h4", {}, name), el("p", { dir: "auto" }, value));
  return el(
    "li",
    { class: linked ? "linked" : "", tabindex: -1 },
    el(
      "div",
      { class: "head" },
      el(
        "a",
        { href: address(my, s.index), "aria-label": `Link to segment ${s.index}` },
        own(my.found.set),
        ` ${s.index}`,
      ),
      base &&
        !empty(apart) &&
        el(
          "span",
          { class: "soft" },
          ` ${my.found.metric || "log-likelihood"} ${signed(apart, my.found.metric ? 99 : 0)}`,
        ),
    ),
    text(translation ? "source" : "prompt", s.source),
    text(translation ? "reference" : "target", s.reference),
    el(
      "div",
      { class: "answers" },
      s.answers.map((a, i) => answer(my, s, a, i)),
    ),
  );
}
function answer(my, s, a, i) {
  const name = my.found.trials[i],
    against = i && my.found.trials[0] === "base" ? s.answers[0].text : null,
    pieces = empty(against) ? [[a.text, false]] : marked(a.text, against);
  return el(
    "div",
    {},
    el(
      "h4",
      {},
      name === "base" ? "base model" : `trial ${name}`,
      !empty(a.score) && el("span", { class: "soft" }, ` ${my.found.metric ? a.score.toFixed(1) : a.score.toFixed(3)}`),
      a.labels.map(l => [" ", badge(l.replaceAll("_", " "), "bad")]),
      a.truncated && [" ", badge("cut off", "bad")],
    ),
    el(
      "p",
      { dir: "auto" },
      pieces.map(([text, fresh]) => (fresh ? el("mark", {}, text) : text)),
    ),
  );
}
