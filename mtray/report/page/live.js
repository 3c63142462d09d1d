// A served page: asks for the run's state every moment, and for the parts that have changed.
import { startPage } from "./main.js";
import { el, pick } from "./dom.js";

const EVERY = 800,
  HIDDEN = 5000; // milliseconds between two questions; while the page is not in view
const held = {}; // by part: the tag of what is shown
const names = await (await fetch("/api/runs")).json();
const asked = Number(new URLSearchParams(location.hash.slice(1)).get("run") ?? 0);
let run = asked in names ? asked : 0,
  curves = false;

const NO_ANSWER =
  "The server does not answer: the sweep has ended, or `serve` was stopped. python -m mtray serve RUN shows the run again.";
const fetched = (...request) =>
  fetch(...request).catch(() => {
    throw new Error(NO_ANSWER);
  });

async function get(name, query = {}, tag = "") {
  const asking = run,
    answer = await fetched(`/api/${run}/${name}?${new URLSearchParams(query)}`, {
      cache: "no-store",
      headers: tag ? { "If-None-Match": tag } : {},
    });
  if (answer.status === 401)
    throw new Error("This page’s session has ended: python -m mtray serve RUN prints a new address.");
  if (answer.status === 304 || asking !== run) return null;
  const value = await body(answer);
  if (!answer.ok) throw new Error(value.error ?? `HTTP ${answer.status}`);
  return { value, tag: answer.headers.get("ETag") };
}
// an answer that is cut off, since the server ended, is none either
const body = answer =>
  answer.text().then(JSON.parse).catch(() => {
    throw new Error(NO_ANSWER);
  });
const ask = async (name, query) => (await get(name, query))?.value;
async function control(what, value) {
  const answer = await fetched(`/api/${run}/control`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Mtray": "control" },
    body: JSON.stringify({ what, value }),
  });
  if (answer.status === 401) throw new Error("this page’s session has ended");
  const found = await body(answer);
  if (!answer.ok) throw new Error(found.error ?? `HTTP ${answer.status}`);
  return found.text;
}
const picker =
  names.length > 1 &&
  pick(
    "run",
    String(run),
    names.map((name, i) => [String(i), name]),
    value => {
      run = Number(value);
      for (const part of Object.keys(held)) delete held[part];
      Object.assign(page, { run });
      Object.assign(page.choices, { x: null, y: null, chosen: null, against: null, colour: "" });
      page.set({ state: null, table: null, front: null, effects: null, outputs: null, effectsNote: "" });
      ask_now();
    },
  );
const page = startPage({ ask, control, run, picker: picker && el("p", {}, picker) });
page.set({ outputs: null });

const SHOW = {
  table: value => ({ table: value }),
  front: value => ({ front: value.value, frontNote: value.error }),
  effects: value => ({ effects: value.value, effectsNote: value.error || (value.made ? "" : "Fitting the curves …") }),
};
async function part(name, version) {
  if (held[name]?.version === version) return;
  const found = await get(name, {}, held[name]?.tag);
  if (!found) return;
  held[name] = { tag: found.tag, version };
  page.set(SHOW[name](found.value));
}
async function look() {
  const found = await get("state", {}, held.state?.tag);
  if (found) {
    held.state = { tag: found.tag };
    page.set({ state: found.value, lost: "" });
  }
  const versions = page.data.state?.versions ?? {};
  for (const name of ["table", "front"]) if (versions[name]) await part(name, versions[name]);
  if (curves && versions.effects) await part("effects", `${versions.effects} ${versions.table}`);
  if (page.data.lost) page.set({ lost: "" });
}
let timer = 0;
async function ask_now() {
  clearTimeout(timer);
  try {
    await look();
  } catch (error) {
    page.set({ lost: error.message });
  }
  timer = setTimeout(ask_now, document.hidden ? HIDDEN : EVERY);
}
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) ask_now();
});
// the curves cost the server's machine a while, so they wait until somebody reads that far
const place = page.section("curves").node;
new IntersectionObserver(entries => {
  if (entries.some(e => e.isIntersecting)) curves = true;
}).observe(place);
place.hidden = false;
page.set({ effectsNote: "Fitting the curves …" });
ask_now();
