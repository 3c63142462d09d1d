// A filter's text as a test of rows: words, and conditions such as `mono_ratio>1` or `state=failed`.
import { empty } from "./format.js";

const CONDITION = /^([^<>=!]+)(<=|>=|!=|=|<|>)(.+)$/;
const TESTS = {
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

export function matcher(text, columns) {
  const tests = text
    .trim()
    .split(/\s+/)
    .filter(Boolean)
    .map(word => {
      const [, key, sign, value] = word.match(CONDITION) ?? [],
        column = columns.find(c => c.key === key);
      return column ? condition(column, sign, value) : containing(word.toLowerCase(), columns);
    });
  return row => tests.every(test => test(row));
}
function condition(column, sign, value) {
  const number = Number(value);
  return row => {
    const found = column.get(row);
    if (empty(found)) return false;
    return typeof found === "number"
      ? !Number.isNaN(number) && TESTS[sign](found, number)
      : TESTS[sign](String(found), value);
  };
}
const containing = (word, columns) => row =>
  columns.some(c => {
    const found = c.get(row);
    return !empty(found) && String(found).toLowerCase().includes(word);
  });
