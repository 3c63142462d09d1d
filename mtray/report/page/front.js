// The front: the chart with its choices, the chosen recipe, and the comparison with the baselines.
import { css, el, hideTip, own, pick, tick } from "./dom.js";
import { short, whose } from "./format.js";
import { comparisonNotes, comparisons } from "./baselines.js";
import { chart, plainColour } from "./chart.js";
import { detail, tipOf } from "./recipe.js";
import { readFront } from "./measures.js";
import { preferredLegend } from "./preferred.js";
import { colouring, DARK, KINDS, ramps } from "./scales.js";

export function frontSection() {
  const node = el("div", { id: "front" });
  return {
    node,
    needs: ["front"],
    redraws: true,
    update: page => {
      const had = node.contains(document.activeElement) && document.activeElement.closest("svg");
      node.replaceChildren(...(page.data.front ? content(page) : []));
      if (had) node.querySelector("svg[tabindex]")?.focus();
    },
  };
}
function content(page) {
  const { front } = page.data,
    { choices } = page,
    read = readFront(front, choices.against);
  if (!read.measure(choices.x)) choices.x = read.measures[0].key;
  if (!read.measure(choices.y)) choices.y = (read.measures[1] ?? read.measures[0]).key;
  if (!read.points.some(p => p.number === choices.chosen)) choices.chosen = front.answer?.number ?? front.knee;
  if (!read.points.some(p => p.number === choices.chosen)) choices.chosen = front.knee;
  const colour = colours(read, choices.colour),
    options = read.measures.map(m => [m.key, m.key]),
    set = name => value => {
      choices[name] = value;
      page.redraw("front");
    };
  const plot = el("div", { class: "plot" }),
    events = {
      choose: number => {
        hideTip();
        page.choose(number);
      },
      tip: (p, text) => tipOf(read, p, text),
    };
  const hasPredicted = (front.modelled ?? []).some(p => p.number === null);
  requestAnimationFrame(() =>
    plot.replaceChildren(chart(read, { ...choices, colour: colour.of }, Math.max(280, plot.clientWidth), events)),
  );
  return [
    el(
      "div",
      { class: "split" },
      el(
        "section",
        { "aria-label": "Front" },
        el(
          "div",
          { class: "bar" },
          el("h2", {}, "Front"),
          pick("across", choices.x, options, set("x")),
          pick("up", choices.y, options, set("y")),
          pick(
            "values",
            read.against,
            [...read.references.map(p => [String(p.number), `minus ${whose(p)}`]), ["", "as they are"]],
            set("against"),
          ),
          pick(
            "colour",
            choices.colour,
            [
              ["", "front"],
              ...read.parameters.map(k => ["p:" + k, k]),
              ...read.measures.map(m => ["m:" + m.key, m.key]),
            ],
            set("colour"),
          ),
          hasPredicted && tick("predicted recipes", choices.predicted, set("predicted")),
        ),
        plot,
        legend(read, choices, colour, hasPredicted),
      ),
      detail(
        read,
        read.points.find(p => p.number === choices.chosen),
      ),
    ),
    front.comparisons.length > 0 &&
      el(
        "section",
        { "aria-label": "Against the baselines" },
        el("h2", {}, "Against the baselines"),
        comparisons(read, events),
        el(
          "div",
          { class: "soft small notes" },
          comparisonNotes(front).map(note => el("div", {}, note)),
        ),
      ),
  ].filter(Boolean);
}
function colours(read, choice) {
  if (!choice) return { of: plainColour };
  const key = choice.slice(2),
    get =
      choice[0] === "m"
        ? p => (p.role === "search" ? read.measure(key)?.get(p)?.value : null)
        : p => (p.role === "search" ? p.recipe[key] : null);
  return { key, ...colouring(read.points, get, plainColour) };
}
function legend(read, choices, colour, hasPredicted) {
  const dot = (fill, text) => el("span", {}, el("i", { style: { background: fill } }), own(text));
  const lead = !choices.colour
    ? [dot(css("--front"), "on the front"), dot(css("--other"), "other recipes")]
    : colour.kinds
      ? colour.kinds.map((k, i) => dot(KINDS[i % KINDS.length], k))
      : [
          el(
            "span",
            {},
            own(colour.key),
            " ",
            short(colour.range?.[0]),
            el("i", {
              class: "ramp",
              style: { background: `linear-gradient(90deg,${ramps().map(v => `rgb(${v})`)})` },
            }),
            short(colour.range?.[1]),
          ),
        ];
  return el(
    "div",
    { class: "legend" },
    lead,
    el("span", {}, `bars: ${read.intervals}, cut at the edge`),
    el("span", {}, "ring: knee"),
    read.of && el("span", {}, "dashed: no difference"),
    read.front.objectives.length === 2 && el("span", {}, "shaded: dominated"),
    preferredLegend(read, read.measure(choices.x), read.measure(choices.y)),
    hasPredicted &&
      choices.predicted &&
      el(
        "span",
        {},
        read.of?.role === "base" || !read.of
          ? "hollow: predicted, not trained"
          : "predicted recipes are shown as they are, or minus the base model’s",
      ),
  );
}
export const onDarkChange = redraw => DARK.addEventListener("change", redraw);
