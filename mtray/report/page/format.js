// Numbers and names as text.
import { el } from "./dom.js";

export const empty = value => value === null || value === undefined;
export const extent = values => [
  values.reduce((a, b) => Math.min(a, b), Infinity),
  values.reduce((a, b) => Math.max(a, b), -Infinity),
];

export function short(value) {
  if (empty(value)) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5)
    return value
      .toExponential(2)
      .replace("e+", "e")
      .replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(3)));
}

// decimals are those of a measure of this `size`: few in points, such as BLEU
export const fixed = (value, size) => value.toFixed(Math.abs(size ?? value) >= 10 ? 1 : 3);
export const signed = (value, size) => (value < 0 ? "−" : "+") + fixed(Math.abs(value), size);
export const chance = p => (p > 0.99 ? "> .99" : p < 0.01 ? "< .01" : p.toFixed(2));

export function withInterval(score, size) {
  return score
    ? [fixed(score.value, size), el("span", { class: "ci" }, ` ${fixed(score.low, size)} – ${fixed(score.high, size)}`)]
    : "–";
}
export function withDifference(difference, size) {
  return difference
    ? [
        signed(difference.value, size),
        el("span", { class: "ci" }, ` ${signed(difference.low, size)} – ${signed(difference.high, size)}`),
      ]
    : "–";
}

export function duration(seconds) {
  if (empty(seconds)) return "–";
  const whole = Math.round(seconds),
    hours = Math.floor(whole / 3600),
    minutes = Math.floor(whole / 60) % 60;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

export const ROLES = {
  search: "search",
  base: "base model, untouched",
  parallel_only: "parallel data only",
  mono_one_to_one: "mono to parallel 1:1",
  mono_two_to_one: "mono to parallel 2:1",
  uniform: "all sources equally",
};
export const trialName = number => (number === -1 ? "base" : String(number));
export const pointName = point =>
  point.role === "search" ? `Trial ${point.number}` : (ROLES[point.role] ?? point.role);
export const whose = point =>
  point.role === "base"
    ? "the base model’s"
    : point.role === "search"
      ? `trial ${point.number}’s`
      : `that of “${ROLES[point.role]}”`;
