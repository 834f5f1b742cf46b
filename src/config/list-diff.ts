/** What became of a list whose items are told apart by a text: added, removed, moved, stayed. Places count from 0. */

/** An item of the list before and of the list after that are the same one. */
export interface Stayed<T> {
  readonly before: T;
  readonly after: T;
  readonly from: number;
  readonly to: number;
  /** It has changed its place among the others that stayed. */
  readonly moved: boolean;
}

/** An item that is in one of the lists only, and its place there. */
export interface Single<T> {
  readonly item: T;
  readonly at: number;
}

/** `removed` in the order before, all else in the order after. */
export interface ListDiff<T> {
  readonly removed: readonly Single<T>[];
  readonly added: readonly Single<T>[];
  readonly stayed: readonly Stayed<T>[];
}

/** Compares two lists. Of several items with one identity, the first of both are the same one, and so on. As few as possible count as moved. */
export function diffLists<T>(before: readonly T[], after: readonly T[], identity: (item: T) => string): ListDiff<T> {
  const left = new Map<string, number[]>();
  for (const [from, item] of before.entries()) {
    const [of, places] = [identity(item), left.get(identity(item))];
    if (places === undefined) left.set(of, [from]);
    else places.push(from);
  }
  const added: Single<T>[] = [];
  const pairs: { from: number; to: number }[] = [];
  for (const [to, item] of after.entries()) {
    const from = left.get(identity(item))?.shift();
    if (from === undefined) added.push({ item, at: to });
    else pairs.push({ from, to });
  }
  const inOrder = longestRise(pairs.map(({ from }) => from));
  const stayed = pairs.map(({ from, to }) => ({
    before: before[from]!,
    after: after[to]!,
    from,
    to,
    moved: !inOrder.has(from),
  }));
  const gone = new Set([...left.values()].flat());
  const removed = before.flatMap((item, at) => (gone.has(at) ? [{ item, at }] : []));
  return { removed, added, stayed };
}

/** The members of a longest rising subsequence of different numbers. */
function longestRise(numbers: readonly number[]): ReadonlySet<number> {
  // ends[n] is the place of the smallest number that n + 1 rising ones can end with; previous leads back through them.
  const ends: number[] = [];
  const previous: (number | undefined)[] = [];
  for (const [place, number] of numbers.entries()) {
    let [low, high] = [0, ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[ends[middle]!]! < number) low = middle + 1;
      else high = middle;
    }
    previous.push(ends[low - 1]);
    ends[low] = place;
  }
  const rise = new Set<number>();
  for (let place = ends.at(-1); place !== undefined; place = previous[place]) rise.add(numbers[place]!);
  return rise;
}
