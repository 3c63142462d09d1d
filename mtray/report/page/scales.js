// From values to places and colours.
import { empty, extent, short } from "./format.js";

export function scale(values, from, to, wish = {}) {
  const [low, high] = extent(values);
  const log = wish.log && low > 0 && high / low > 20,
    f = log ? Math.log10 : v => v;
  let a = f(low),
    b = f(high);
  if (a === b) {
    a -= Math.abs(a) * 0.05 || 0.5;
    b += Math.abs(b) * 0.05 || 0.5;
  } else if (wish.pad) {
    const d = (b - a) * wish.pad;
    a -= d;
    b += d;
  }
  const map = v => from + ((f(v) - a) / (b - a)) * (to - from);
  map.share = v => (f(v) - a) / (b - a);
  map.ticks = log ? decades(a, b) : steps(a, b, wish.count || 6);
  const places = log ? 0 : Math.max(0, ...map.ticks.map(t => (String(t).split(".")[1] || "").length));
  map.text = t => (log || places > 4 || Math.abs(t) >= 1000 ? short(t) : t.toFixed(places));
  return map;
}
function steps(a, b, count) {
  const raw = (b - a) / count,
    power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map(k => k * power).find(k => k >= raw);
  const found = [];
  for (let i = Math.ceil(a / step - 1e-9); i * step <= b + step * 1e-9; i++)
    found.push(Number((i * step).toPrecision(10)));
  return found;
}
function decades(a, b) {
  const found = [];
  for (let e = Math.floor(a); e <= b; e++)
    for (const k of [1, 3]) {
      const v = k * 10 ** e,
        l = Math.log10(v);
      if (l >= a && l <= b) found.push(v);
    }
  return found;
}

// cividis, without its darkest part on a dark page
const RAMPS = {
  light: [
    [0, 34, 78],
    [53, 69, 108],
    [102, 105, 112],
    [148, 142, 119],
    [200, 184, 102],
    [254, 232, 56],
  ],
  dark: [
    [70, 112, 196],
    [104, 128, 168],
    [140, 143, 145],
    [180, 168, 122],
    [217, 199, 90],
    [254, 232, 56],
  ],
};
export const KINDS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#f0e442"];
export const DARK = matchMedia("(prefers-color-scheme: dark)");
export const ramps = () => (DARK.matches ? RAMPS.dark : RAMPS.light);
function ramp(share) {
  const stops = ramps(),
    at = Math.max(0, Math.min(1, share)) * (stops.length - 1),
    i = Math.min(stops.length - 2, Math.floor(at));
  return `rgb(${stops[i].map((c, k) => Math.round(c + (stops[i + 1][k] - c) * (at - i))).join(",")})`;
}

// colours of things by a value of theirs: a ramp for numbers, a colour each for the rest
export function colouring(items, get, plain) {
  const found = items.map(get).filter(value => !empty(value));
  if (found.length && found.every(value => typeof value === "number")) {
    const to = scale(found, 0, 1, { log: true });
    return {
      range: extent(found),
      of: item => (typeof get(item) === "number" ? ramp(to.share(get(item))) : plain(item)),
    };
  }
  const kinds = [...new Set(found.map(String))].sort();
  return {
    kinds,
    of: item => (empty(get(item)) ? plain(item) : KINDS[kinds.indexOf(String(get(item))) % KINDS.length]),
  };
}
