// The translations: source, reference, the base model's and up to three trials', side by side.
import { el, own, pick, tick } from "./dom.js";
import { empty } from "./format.js";
import { gain, segment } from "./segments.js";

const PAGE = 20; // segments at a time
const ORDERS = [
  ["worst", "lost most first"],
  ["best", "gained most first"],
  ["first", "as in the set"],
];

export function translationsSection() {
  const node = el("section", { id: "translations", "aria-label": "Translations" });
  const my = {
    set: "",
    trials: [],
    metric: "chrf",
    order: "worst",
    label: "",
    text: "",
    differing: false,
    place: 0,
    at: null,
    found: null,
    error: "",
    node,
    asked: "",
  };
  my.bar = el("div", { class: "bar" });
  my.body = el("div", { "aria-live": "polite" });
  node.append(el("h2", {}, "Translations"), my.bar, my.body);
  readAddress(my);
  addEventListener("hashchange", () => {
    if (readAddress(my)) ask(my);
  });
  return {
    node,
    needs: ["outputs", "front"],
    update: page => {
      my.page = page;
      if (!page.ask) {
        my.body.replaceChildren(
          el(
            "p",
            { class: "soft" },
            "This file holds no translations. ",
            el("code", {}, page.data.serve ?? "python -m mtray serve RUN"),
            " shows them beside one another.",
          ),
        );
        return;
      }
      if (page.run !== my.run) Object.assign(my, { run: page.run, found: null, asked: "", known: null });
      if (page.data.front !== my.front) Object.assign(my, { front: page.data.front, known: null });
      if (my.guessed && page.data.front) Object.assign(my, { guessed: false, trials: [] });
      if (my.visible || my.at) ask(my);
      else watch(my);
    },
  };
}
// nothing is read before the section is in view: it costs the server seconds
function watch(my) {
  if (my.watching) return;
  my.watching = new IntersectionObserver(
    entries => {
      if (entries.some(e => e.isIntersecting)) {
        my.visible = true;
        my.watching.disconnect();
        ask(my);
      }
    },
    { rootMargin: "200px" },
  );
  my.watching.observe(my.node);
}
function readAddress(my) {
  const found = new URLSearchParams(location.hash.slice(1)),
    [, set, index] = (found.get("segment") ?? "").match(/^(.*)\/(\d+)$/) ?? [];
  if (!set) return false;
  Object.assign(my, {
    set,
    trials: (found.get("trials") ?? "").split(",").filter(Boolean).slice(0, 3),
    at: Number(index),
    order: "first",
    label: "",
    text: "",
    differing: false,
  });
  if (found.has("metric")) my.metric = found.get("metric");
  return true;
}
async function ask(my) {
  const { page } = my;
  if (!page?.ask || my.run !== page.run) return;
  if (!my.known) {
    my.known = await page.ask("outputs", {}).catch(error => {
      my.error = String(error.message);
      return null;
    });
    if (!my.known) return draw(my);
    if (!my.set || !my.known.sets.some(s => s.name === my.set)) my.set = my.known.sets[0]?.name ?? "";
    my.trials = my.trials.filter(n => my.known.available.includes(n));
  }
  if (!my.trials.length && !my.emptied) {
    const start = page.data.front?.answer?.number ?? page.data.front?.knee;
    my.guessed = !page.data.front;
    my.trials = [String(start), ...my.known.available.slice(1)]
      .filter(n => n !== "-1" && n !== "base" && my.known.available.includes(n))
      .slice(0, 1);
  }
  const names = [...(my.known.available.includes("base") ? ["base"] : []), ...my.trials],
    query = { set: my.set, trials: names.join(","), metric: my.metric },
    asked = JSON.stringify(query);
  if (asked === my.asked || !names.length || !my.set) return my.found && my.at === null ? drawBar(my) : draw(my);
  my.asked = asked;
  my.body.setAttribute("aria-busy", "true");
  drawBar(my);
  if (!my.found) my.body.replaceChildren(el("p", { class: "soft" }, "Reading the outputs …"));
  const found = await page
    .ask("outputs", query)
    .then(value => {
      my.error = "";
      return value;
    })
    .catch(error => {
      my.error = String(error.message);
      return null;
    });
  if (my.asked !== asked) return;
  my.found = found;
  my.body.removeAttribute("aria-busy");
  draw(my);
}
function chosenSegments(my) {
  const base = my.found.trials[0] === "base" && my.found.trials.length > 1,
    text = my.text.toLowerCase(),
    own_ = s => (base ? s.answers.slice(1) : s.answers);
  const kept = my.found.segments.filter(
    s =>
      (!my.label || own_(s).some(a => a.labels.includes(my.label))) &&
      (!my.differing || new Set(s.answers.map(a => a.text)).size > 1) &&
      (!text || [s.source, s.reference, ...s.answers.map(a => a.text)].some(t => t.toLowerCase().includes(text))),
  );
  if (my.order === "first") return kept;
  const sign = my.order === "worst" ? 1 : -1,
    value = new Map(kept.map(s => [s, gain(s, base)])),
    far = s => (empty(value.get(s)) ? Infinity : sign * value.get(s));
  return kept.sort((a, b) => far(a) - far(b) || a.index - b.index);
}
function drawBar(my) {
  if (!my.known || (my.bar.contains(document.activeElement) && my.bar.dataset.set === my.set)) return;
  my.bar.dataset.set = my.set;
  const set = (name, again) => value => {
      my[name] = value;
      my.place = 0;
      my.at = null;
      if (again) {
        document.activeElement?.blur();
        ask(my);
      } else draw(my);
    },
    others = my.known.available.filter(n => n !== "base"),
    is = my.known.sets.find(s => s.name === my.set);
  const trial = i =>
    pick(`trial ${"ABC"[i]}`, my.trials[i] ?? "", [["", "none"], ...others.map(n => [n, n])], value => {
      const next = [...my.trials];
      next[i] = value;
      Object.assign(my, { trials: [...new Set(next.filter(Boolean))], guessed: false, emptied: true });
      set("place", true)(0);
    });
  my.bar.replaceChildren(
    pick(
      "set",
      my.set,
      my.known.sets.map(s => [s.name, s.name]),
      set("set", true),
    ),
    trial(0),
    trial(1),
    trial(2),
    ...(is?.translation
      ? [
          pick(
            "metric",
            my.metric,
            my.known.metrics.map(m => [m, m]),
            set("metric", true),
          ),
        ]
      : []),
    pick("order", my.order, ORDERS, set("order")),
    ...(is?.translation
      ? [
          pick(
            "failure",
            my.label,
            [["", "any"], ...my.known.labels.map(l => [l, l.replaceAll("_", " ")])],
            set("label"),
          ),
        ]
      : []),
    tick("answers differ", my.differing, set("differing")),
    el(
      "label",
      {},
      "text",
      el("input", {
        type: "search",
        value: my.text,
        oninput: e => {
          my.text = e.target.value;
          my.place = 0;
          my.at = null;
          draw(my);
        },
      }),
    ),
  );
}
function draw(my) {
  drawBar(my);
  if (my.error) {
    my.body.replaceChildren(el("p", { class: "error", role: "alert" }, own(my.error)));
    return;
  }
  if (!my.found) {
    my.body.replaceChildren(
      el(
        "p",
        { class: "soft" },
        my.known && !my.trials.length && !my.known.available.length
          ? "No trial has kept its outputs yet."
          : "Reading the outputs …",
      ),
    );
    return;
  }
  const found = chosenSegments(my),
    linked = my.at === null ? -1 : found.findIndex(s => s.index === my.at);
  if (linked >= 0) my.place = Math.floor(linked / PAGE) * PAGE;
  my.place = Math.min(my.place, Math.max(0, Math.floor((found.length - 1) / PAGE) * PAGE));
  const go = by => () => {
      my.place += by;
      my.at = null;
      draw(my);
      my.node.scrollIntoView();
    },
    shown = found.slice(my.place, my.place + PAGE);
  const pages = () =>
    el(
      "p",
      { class: "pages" },
      el("button", { onclick: go(-PAGE), disabled: my.place === 0 }, "earlier"),
      el(
        "span",
        { class: "soft small" },
        found.length ? `${my.place + 1} to ${my.place + shown.length} of ${found.length} segments` : "no segment fits",
      ),
      el("button", { onclick: go(PAGE), disabled: my.place + PAGE >= found.length }, "later"),
    );
  my.body.replaceChildren(
    pages(),
    el(
      "ol",
      { class: "segments" },
      shown.map(s => segment(my, s)),
    ),
    ...(found.length > PAGE ? [pages()] : []),
  );
  if (linked >= 0) {
    const node = my.body.querySelector(".linked");
    node?.scrollIntoView({ block: "center" });
    node?.focus({ preventScroll: true });
    my.at = null;
  }
}
