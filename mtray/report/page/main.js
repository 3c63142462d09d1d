// The page: its sections in their order, and what each is drawn from.
import { el, own } from "./dom.js";
import { answerSection } from "./answer.js";
import { frontSection, onDarkChange } from "./front.js";
import { runningSection } from "./running.js";
import { tableSection } from "./table.js";
import { curvesSection } from "./curves.js";
import { translationsSection } from "./translations.js";
import { notesSection } from "./notes.js";

export function startPage(more = {}) {
  const app = document.getElementById("app"),
    title = el("h1"),
    about = el("p", { class: "soft about" }),
    alerts = el("div", { id: "alerts" });
  const sections = [
    answerSection(),
    frontSection(),
    runningSection(),
    tableSection(),
    curvesSection(),
    translationsSection(),
    notesSection(),
  ];
  const page = {
    data: {},
    choices: { x: null, y: null, colour: "", chosen: null, against: null, predicted: true },
    ...more,
    section: id => sections.find(s => s.node.id === id),
    // replace parts of the data, and draw what shows them
    set(parts) {
      const ran = Boolean(page.data.state?.sweep);
      Object.assign(page.data, parts);
      const changed = new Set(Object.keys(parts));
      if (ran !== Boolean(page.data.state?.sweep)) changed.add("table"); // what ran is interrupted now
      draw(sections.filter(s => s.needs.some(part => changed.has(part))));
    },
    redraw: part => draw(sections.filter(s => s.needs.includes(part))),
    choose(number) {
      page.choices.chosen = number;
      draw([page.section("front")]);
    },
  };
  const broken = {}; // by section: why it was not drawn; the others are
  function draw(some) {
    for (const s of some)
      try {
        delete broken[s.node.id];
        s.update(page);
      } catch (error) {
        console.error(error); // with its place in the code
        broken[s.node.id] = `The part “${s.node.id}” of this page could not be drawn (${error}).`;
      }
    head(page, title, about, alerts, Object.values(broken));
  }
  app.replaceChildren(el("header", {}, title, about, more.picker, alerts), ...sections.map(s => s.node));
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) {
      width = innerWidth;
      draw(sections.filter(s => s.redraws || s.node.id === "trials"));
    }
  });
  onDarkChange(() => draw(sections.filter(s => s.redraws)));
  return page;
}
function head(page, title, about, alerts, broken) {
  const { state, front } = page.data,
    name = state?.study ?? front?.study ?? state?.run ?? "mtray";
  document.title = `${name}: ${state?.sweep ? `${state.sweep.finished} of ${state.sweep.total} trials` : "Pareto front"}`;
  title.replaceChildren(own(name));
  const facts = [
    state?.run && state.run !== name && `run ${state.run}`,
    state?.model && `model ${state.model}`,
    ...(front?.objectives.map(o => o.label) ?? []),
  ].filter(Boolean);
  about.replaceChildren(...facts.flatMap((fact, i) => [i ? " · " : "", own(fact)]));
  const lines = [page.data.lost, ...broken, ...(state?.warnings ?? [])].filter(Boolean).join("\n");
  if (alerts.dataset.lines !== lines) {
    alerts.dataset.lines = lines;
    alerts.replaceChildren(
      ...lines
        .split("\n")
        .filter(Boolean)
        .map(line => el("p", { class: "error", role: "alert" }, own(line))),
    );
  }
}
