// Which words of a text another one lacks: a longest common subsequence of words.
const MOST = 600; // words; longer texts are not compared

export const words = text => text.match(/\s+|[\p{L}\p{M}\p{N}]+|[^\s\p{L}\p{M}\p{N}]/gu) ?? [];

// pieces of `text`, each with whether it is missing in `other`
export function marked(text, other) {
  const a = words(text),
    b = words(other);
  if (a.length > MOST || b.length > MOST || text === other) return [[text, false]];
  const kept = common(a, b),
    pieces = [];
  a.forEach((word, i) => {
    const fresh = !kept.has(i) && word.trim() !== "",
      last = pieces[pieces.length - 1];
    if (last && last[1] === fresh) last[0] += word;
    else pieces.push([word, fresh]);
  });
  return pieces;
}
function common(a, b) {
  const n = b.length + 1,
    length = new Uint16Array((a.length + 1) * n),
    kept = new Set();
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      length[i * n + j] =
        a[i] === b[j] ? length[(i + 1) * n + j + 1] + 1 : Math.max(length[(i + 1) * n + j], length[i * n + j + 1]);
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i] === b[j]) {
      kept.add(i);
      i++;
      j++;
    } else if (length[(i + 1) * n + j] >= length[i * n + j + 1]) i++;
    else j++;
  }
  return kept;
}
