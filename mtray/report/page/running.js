// The trials that run now: phase, step, loss, speed, and the time left.
import { badge, css, el, own, svg } from "./dom.js";
import { duration, empty, extent, short } from "./format.js";
import { scale } from "./scales.js";
import { stopButton, sweepControls } from "./controls.js";

export function runningSection() {
  const node = el("section", { id: "running", "aria-label": "Running trials" }),
    summary = el("div"),
    cards = el("ul", { class: "cards" }),
    controls = sweepControls(),
    known = new Map(); // of each trial that runs: its card, which stays, so that the focus does
  node.append(el("h2", {}, "Running"), summary, controls.node, cards);
  return {
    node,
    needs: ["state"],
    update: page => {
      const { sweep } = page.data.state ?? {};
      node.hidden = !sweep;
      if (!sweep) return;
      summary.replaceChildren(...content(sweep));
      controls.update(page, sweep);
      for (const number of known.keys()) if (!sweep.trials.some(t => t.number === number)) known.delete(number);
      for (const trial of sweep.trials) {
        if (!known.has(trial.number)) known.set(trial.number, card(trial, page.control && stopButton(controls, trial)));
        known.get(trial.number).draw(trial);
      }
      const shown = sweep.trials.map(trial => known.get(trial.number).node);
      if (shown.length !== cards.children.length || shown.some((card, i) => card !== cards.children[i]))
        cards.replaceChildren(...shown);
    },
  };
}
function content(sweep) {
  const left = empty(sweep.seconds_left) ? "" : `, about ${duration(sweep.seconds_left)} left`,
    stale = sweep.age > 10;
  return [
    el(
      "p",
      { class: "soft" },
      `${sweep.finished} of ${sweep.total} trials have ended${left}`,
      stale && ` · the sweep wrote this ${duration(sweep.age)} ago`,
      sweep.paused && [" ", badge("paused", "bad"), " no new trial starts"],
    ),
    el("progress", { max: sweep.total || 1, value: sweep.finished, "aria-label": "Trials that have ended" }),
  ];
}
function card(trial, stop) {
  const body = el("div"),
    node = el("li", {}, body, trial.name !== "base" && stop);
  return { node, draw: trial => body.replaceChildren(...facts(trial)) };
}
function facts(trial) {
  const steps = !empty(trial.step) && !empty(trial.steps),
    found = [
      steps && [
        trial.curve.length ? "step" : "done",
        `${trial.step.toLocaleString("en")} of ${trial.steps.toLocaleString("en")}`,
      ],
      !empty(trial.loss) && ["loss", short(trial.loss)],
      !empty(trial.tokens_per_second) && ["tokens/s", Math.round(trial.tokens_per_second).toLocaleString("en")],
      !empty(trial.spent) && ["in this phase", duration(trial.spent)],
      !empty(trial.phase_left) && ["left of it", duration(trial.phase_left)],
    ].filter(Boolean);
  return [
    el(
      "h3",
      {},
      trial.name === "base" ? "Base model" : `Trial ${trial.name}`,
      " ",
      el("span", { class: "badge on" }, own(trial.state)),
    ),
    steps &&
      el("progress", { max: trial.steps, value: trial.step, "aria-label": `Trial ${trial.name}: ${trial.state}` }),
    el(
      "dl",
      {},
      found.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
    ),
    trial.curve.length > 1 && lossCurve(trial.curve, `Loss of trial ${trial.name}`),
  ].filter(Boolean);
}
export function lossCurve(curve, label) {
  const w = 260,
    h = 70,
    x = scale(
      curve.map(p => p[0]),
      4,
      w - 4,
    ),
    y = scale(
      curve.map(p => p[1]),
      h - 6,
      6,
    ),
    [low, high] = extent(curve.map(p => p[1]));
  return svg(
    "svg",
    {
      class: "loss",
      viewBox: `0 0 ${w} ${h + 16}`,
      role: "img",
      "aria-label": `${label}: from ${short(curve[0][1])} to ${short(curve[curve.length - 1][1])}`,
    },
    svg("path", {
      d: curve.map(([s, v], i) => `${i ? "L" : "M"}${x(s).toFixed(1)},${y(v).toFixed(1)}`).join(""),
      fill: "none",
      stroke: css("--front"),
      "stroke-width": 1.8,
    }),
    svg("text", { x: 4, y: h + 13 }, `loss ${short(low)} – ${short(high)}`),
    svg(
      "text",
      { x: w - 4, y: h + 13, "text-anchor": "end" },
      `step ${curve[curve.length - 1][0].toLocaleString("en")}`,
    ),
  );
}
