// The front's measures, and its points' values: as they are, or minus those of a reference.
import { empty, fixed, signed, whose, withDifference, withInterval } from "./format.js";

export function readFront(front, against) {
  const points = front.points,
    references = points.filter(p => p.number in points[0].differences);
  const wanted = against ?? (front.reference === null ? "" : String(front.reference));
  const of = references.find(p => String(p.number) === wanted);
  const objectives = front.objectives.map(o => ({
    key: o.name,
    label: o.label,
    measure: o.measure,
    sense: o.sense,
    objective: true,
    own: p => p.objectives[o.name],
  }));
  const names = [...new Set(points.flatMap(p => Object.keys(p.scores)))].filter(
    name => !front.objectives.some(o => o.name === name),
  );
  const measures = [
    ...objectives,
    ...names.map(name => ({ key: name, label: name, measure: name, sense: "max", own: p => p.scores[name] })),
  ];
  const size = score => (score ? Math.abs(score.most ?? score.value) : 0); // as mtray.report.units: the bounds decide, or else the largest value
  for (const m of measures) {
    m.get = p => valueOf(m, p, of);
    m.size = points.reduce((most, p) => Math.max(most, size(m.own(p))), 0);
    m.shown = p => (!of || p === of ? withInterval(m.own(p), m.size) : withDifference(m.get(p), m.size));
    m.said = p => {
      const v = m.get(p)?.value;
      return empty(v) ? "not measured" : of ? signed(v, m.size) : fixed(v, m.size);
    };
    m.title = !of
      ? m.label
      : `${m.measure} minus ${whose(of)}${m.objective ? `, ${m.sense === "max" ? "higher" : "lower"} is better` : ""}`;
    m.titles = [m.title, of ? `${m.key} minus ${whose(of)}` : m.key, m.key];
  }
  const parameters = [...new Set(points.flatMap(p => Object.keys(p.recipe)))].filter(k =>
    points.some(p => !empty(p.recipe[k])),
  );
  return {
    front,
    points,
    measures,
    parameters,
    references,
    of,
    against: of ? wanted : "",
    measure: key => measures.find(m => m.key === key),
    intervals: !of
      ? "95 % interval"
      : front.paired
        ? "paired 95 % interval of the difference"
        : "95 % interval of the difference",
  };
}
function valueOf(measure, point, of) {
  const own = measure.own(point);
  if (!of || !own) return own;
  if (point === of) return { value: 0, low: 0, high: 0 };
  const found = point.differences[of.number]?.[measure.key];
  return found && { value: found.gap, low: found.low, high: found.high };
}

// a predicted point's objective where the page shows values as they are, or minus the base model's
export function predictedValue(read, point, measure) {
  const found = point.objectives[measure.key],
    base = read.points.find(p => p.role === "base");
  if (!found || !base || (read.of && read.of !== base)) return null;
  const from = read.of ? 0 : (measure.own(base)?.value ?? 0);
  return { value: from + found.gap, low: from + found.low, high: from + found.high };
}
