/** Finds the word that somebody probably meant: a bounded Damerau-Levenshtein search over a short list of known words. */

/** Words longer than this are not compared: nobody mistypes them by a letter, and the search stays cheap whatever the input. */
const WORD_CHARS_MAX = 80;

/** ` (did you mean "app"?)` for the nearest of `known`, or "" when nothing is near. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const nearest = nearestWord(word, known);
  return nearest === undefined ? "" : ` (did you mean "${nearest}"?)`;
}

/** The known word with the fewest insertions, deletions, replacements and swaps, at most one in three letters; the first of equals. */
export function nearestWord(word: string, known: Iterable<string>): string | undefined {
  if (word.length > WORD_CHARS_MAX) return undefined;
  let nearest: string | undefined;
  let best = Math.max(1, Math.min(3, Math.floor(word.length / 3))) + 1;
  for (const candidate of known) {
    // A word of two letters is one edit from far too many others: only a wrong case is recognised there.
    if (candidate.toLowerCase() === word.toLowerCase()) return candidate;
    if (word.length < 3 && candidate.length < 3) continue;
    if (candidate.length > WORD_CHARS_MAX || Math.abs(candidate.length - word.length) >= best) continue;
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < best && distance < candidate.length) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Optimal string alignment: as Levenshtein, and a swap of two neighbours counts as one edit. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let edits = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (same ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        edits = Math.min(edits, (beforeLast[column - 2] ?? 0) + 1);
      }
      current.push(edits);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}
