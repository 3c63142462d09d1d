// Every trial, in a table of which only the rows in view are in the document.
import { badge, el, own, pick, tick, wide } from "./dom.js";
import { duration, empty, fixed, ROLES, short, trialName, withInterval } from "./format.js";
import { compareTrials } from "./compare.js";
import { matcher } from "./filter.js";

const ROW = 31,
  BEYOND = 12,
  PRINTED = 400; // pixels of a row; rows kept on either side; rows on paper
const STATES = {
  complete: "good",
  running: "on",
  failed: "bad",
  pruned: "bad",
  stopped: "bad",
  infeasible: "bad",
  interrupted: "",
  waiting: "",
};

export function tableSection() {
  const head = el("thead"),
    body = el("tbody"),
    grid = el("table", { class: "all choice" }, head, body),
    count = el("p", { class: "soft small", role: "status" });
  const view = wide("All trials", grid),
    bar = el("div", { class: "bar" }),
    beside = el("div"),
    node = el("section", { id: "trials", "aria-label": "All trials" }, bar, count, view, beside);
  view.classList.add("tall");
  const own_ = {
    sort: "number",
    down: true,
    text: "",
    state: "",
    hidden: new Set(),
    compared: [],
    shown: [],
    cols: [],
    node,
    head,
    body,
    count,
    view,
    beside,
    bar,
    printing: false,
  };
  view.addEventListener("scroll", () => requestAnimationFrame(() => drawRows(own_)), { passive: true });
  addEventListener("beforeprint", () => {
    own_.printing = true;
    drawRows(own_);
  });
  addEventListener("afterprint", () => {
    own_.printing = false;
    drawRows(own_);
  });
  return {
    node,
    needs: ["table", "front"],
    update: page => {
      const { table } = page.data;
      node.hidden = !table?.rows.length;
      if (node.hidden) return;
      Object.assign(own_, {
        page,
        table: page.data.state?.sweep ? table : interrupted(table),
        points: new Map((page.data.front?.points ?? []).flatMap(p => p.trials.map(n => [n, p]))),
      });
      own_.all = columns(own_);
      if (!bar.childElementCount) drawBar(own_);
      drawChooser(own_);
      draw(own_);
    },
  };
}
// the journal does not know that a sweep has ended without a word
function interrupted(table) {
  return { ...table, rows: table.rows.map(r => (r.state === "running" ? { ...r, state: "interrupted" } : r)) };
}
function columns({ table, points }) {
  const size = name => table.rows.reduce((most, r) => Math.max(most, Math.abs(r.scores[name]?.value ?? 0)), 0);
  const score = name => {
    const s = size(name);
    return {
      key: name,
      get: r => r.scores[name]?.value,
      show: r => withInterval(r.scores[name], s),
      text: r => (r.scores[name] ? fixed(r.scores[name].value, s) : "–"),
    };
  };
  return [
    { key: "number", get: r => r.number, always: true, show: r => trialName(r.number) },
    { key: "state", get: r => r.state, left: true, show: r => badge(r.state, STATES[r.state], r.reason || undefined) },
    ...table.objectives.map(score),
    { key: "P(front)", get: r => points.get(r.number)?.p_front, show: r => short(points.get(r.number)?.p_front) },
    { key: "role", get: r => r.role, left: true, show: r => ROLES[r.role] ?? own(r.role) },
    ...table.measures.map(name => ({ ...score(name), off: true })),
    ...table.varied.map(name => ({ key: name, get: r => r.recipe[name], show: r => own(short(r.recipe[name])) })),
    {
      key: "repeats",
      get: r => r.trained_as ?? r.of,
      off: true,
      show: r => (empty(r.trained_as) ? short(r.of) : `weights of ${r.trained_as}`),
    },
    { key: "seed", get: r => r.seed, off: true },
    { key: "examples", get: r => r.examples },
    { key: "steps", get: r => r.steps, off: true },
    {
      key: "tokens/s",
      get: r => r.tokens_per_second,
      off: true,
      show: r => (empty(r.tokens_per_second) ? "–" : Math.round(r.tokens_per_second).toLocaleString("en")),
    },
    { key: "time", get: r => r.total_seconds, show: r => duration(r.total_seconds) },
    { key: "finished", get: r => r.finished, off: true, left: true },
    { key: "reason", get: r => r.reason, off: true, left: true, show: r => own(r.reason.slice(0, 120)) },
  ];
}
function drawBar(my) {
  const states = [["", "all"], ...Object.keys(STATES).map(s => [s, s])];
  const search = el("input", {
    type: "search",
    placeholder: "text, or mono_ratio>1",
    spellcheck: "false",
    oninput: e => {
      my.text = e.target.value;
      my.view.scrollTop = 0;
      draw(my);
    },
  });
  my.bar.replaceChildren(
    el("h2", {}, "All trials"),
    el("label", {}, "filter", search),
    pick("state", my.state, states, value => {
      my.state = value;
      my.view.scrollTop = 0;
      draw(my);
    }),
    tick("front only", false, on => {
      my.frontOnly = on;
      draw(my);
    }),
    el("details", { class: "chooser" }, el("summary", {}, "columns"), el("div", {})),
  );
}
function drawChooser(my) {
  for (const c of my.all) if (c.off && !my.known?.has(c.key)) my.hidden.add(c.key);
  my.known = new Set(my.all.map(c => c.key));
  const place = my.bar.querySelector(".chooser > div"),
    wanted = my.all
      .filter(c => !c.always)
      .map(c => c.key)
      .join("\n");
  if (place.dataset.keys === wanted) return;
  place.dataset.keys = wanted;
  place.replaceChildren(
    ...my.all
      .filter(c => !c.always)
      .map(c =>
        tick(own(c.key), !my.hidden.has(c.key), on => {
          if (on) my.hidden.delete(c.key);
          else my.hidden.add(c.key);
          draw(my);
        }),
      ),
  );
}
function draw(my) {
  my.cols = my.all.filter(c => !my.hidden.has(c.key));
  const by = my.all.find(c => c.key === my.sort) ?? my.all[0],
    fits = matcher(my.text, my.all),
    onFront = r => my.points.get(r.number)?.on_front;
  my.shown = my.table.rows
    .filter(r => (!my.state || r.state === my.state) && (!my.frontOnly || onFront(r)) && fits(r))
    .sort((a, b) => {
      const [u, v] = [by.get(a), by.get(b)];
      if (empty(u) || empty(v)) return empty(u) - empty(v) || b.number - a.number;
      return (u < v ? -1 : u > v ? 1 : a.number - b.number) * (my.down ? -1 : 1);
    });
  const same = Object.entries(my.table.same).filter(([, v]) => !empty(v)),
    text = `${my.shown.length.toLocaleString("en")} of ${my.table.rows.length.toLocaleString("en")} rows`;
  if (my.count.firstChild?.textContent !== text)
    my.count.replaceChildren(
      el("span", {}, text),
      (same.length > 0 &&
        el(
          "details",
          {},
          el("summary", {}, "the same in all trials"),
          same.map(([k, v]) => el("span", { class: "same" }, own(k), " ", own(short(v)))),
        )) ||
        "",
    );
  const had = my.head.contains(document.activeElement) && document.activeElement.dataset.sort;
  my.head.replaceChildren(
    el(
      "tr",
      { "aria-rowindex": 1 },
      el("th", { scope: "col", class: "tick" }, el("span", { class: "unseen" }, "compare")),
      my.cols.map(c =>
        el(
          "th",
          {
            scope: "col",
            class: c.left && "left",
            "aria-sort": c === by ? (my.down ? "descending" : "ascending") : null,
          },
          el(
            "button",
            {
              "data-sort": c.key,
              onclick: () => {
                my.down = my.sort === c.key ? !my.down : true;
                my.sort = c.key;
                draw(my);
              },
            },
            own(c.key),
          ),
        ),
      ),
    ),
  );
  if (had) [...my.head.querySelectorAll("button")].find(b => b.dataset.sort === had)?.focus();
  renew(my);
  compareTrials(my);
}
function drawRows(my) {
  if (!my.shown || my.node.hidden || !my.cols.length) return;
  const rows = my.shown,
    first = my.printing ? 0 : Math.max(0, Math.floor(my.view.scrollTop / ROW) - BEYOND),
    last = my.printing
      ? Math.min(rows.length, PRINTED)
      : Math.min(rows.length, first + Math.ceil((my.view.clientHeight || 600) / ROW) + 2 * BEYOND);
  if (my.range === `${first} ${last}`) return;
  my.range = `${first} ${last}`;
  const focus = my.body.contains(document.activeElement) ? document.activeElement.dataset.id : null,
    gap = count =>
      count > 0 &&
      el(
        "tr",
        { class: "gap", "aria-hidden": true },
        el("td", { colspan: my.cols.length + 1, style: { height: `${count * ROW}px` } }),
      );
  my.view.querySelector("table").setAttribute("aria-rowcount", rows.length + 1);
  my.body.replaceChildren(
    ...[
      gap(first),
      ...rows.slice(first, last).map((r, i) => drawn(my, r, first + i)),
      !my.printing && gap(rows.length - last),
    ].filter(Boolean),
  );
  if (focus)
    [...my.body.querySelectorAll("[data-id]")].find(n => n.dataset.id === focus)?.focus({ preventScroll: true });
}
// a row's node is kept until the table is drawn anew
function drawn(my, r, place) {
  if (!my.nodes.has(r.number)) my.nodes.set(r.number, row(my, r, place));
  return my.nodes.get(r.number);
}
function renew(my) {
  my.range = "";
  my.nodes = new Map();
  drawRows(my);
}
function row(my, r, place) {
  const point = my.points.get(r.number),
    chosen = point && point.number === my.page.choices.chosen,
    name = trialName(r.number);
  const mark = el("input", {
    type: "checkbox",
    "data-id": `c${r.number}`,
    "aria-label": `Compare trial ${name}`,
    checked: my.compared.includes(r.number),
    onchange: e => {
      my.compared = e.target.checked ? [...my.compared, r.number].slice(-2) : my.compared.filter(n => n !== r.number);
      renew(my);
      compareTrials(my);
    },
  });
  return el(
    "tr",
    { class: `${chosen ? "chosen" : ""} ${point?.on_front ? "front" : ""}`, "aria-rowindex": place + 2 },
    el("td", { class: "tick" }, mark),
    my.cols.map(c => {
      if (c.key === "number")
        return el(
          "td",
          {},
          point
            ? el(
                "button",
                {
                  class: "link",
                  "data-id": `n${r.number}`,
                  "aria-label": `Choose trial ${name}${point.on_front ? ", on the front" : ""}`,
                  onclick: () => {
                    my.page.choose(point.number);
                    renew(my);
                  },
                },
                name,
                point.on_front && " ●",
              )
            : name,
        );
      return el("td", { class: c.left && "left" }, c.show ? c.show(r) : own(short(c.get(r))));
    }),
  );
}
