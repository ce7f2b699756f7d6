/** The order in which levels are stacked, worst at the bottom where bars can be compared. */
import type { Bucket } from '../api/types';
import { levelName } from '../list/cells';

export const STACK_ORDER = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'none'] as const;
export type StackLevel = (typeof STACK_ORDER)[number];

export interface Stacks {
  /** Starts of the buckets, milliseconds. */
  starts: number[];
  /** Counts of each level, in `STACK_ORDER`. */
  counts: number[][];
  totals: number[];
  sums: Record<StackLevel, number>;
  total: number;
  /** The field's own words behind each level, most frequent first; what a click filters by. */
  words: Record<StackLevel, string[]>;
}

export function stackBuckets(buckets: readonly Bucket[]): Stacks {
  const counts = STACK_ORDER.map(() => new Array<number>(buckets.length).fill(0));
  const sums = Object.fromEntries(STACK_ORDER.map((level) => [level, 0])) as Record<StackLevel, number>;
  const wordCounts = new Map<string, number>();
  buckets.forEach((bucket, i) => {
    let known = 0;
    for (const [word, count] of Object.entries(bucket.by ?? {})) {
      const level = levelName(word.startsWith('_') ? null : word) as StackLevel;
      add(counts, level, i, count);
      sums[level] += count;
      known += count;
      if (!word.startsWith('_')) wordCounts.set(word, (wordCounts.get(word) ?? 0) + count);
    }
    // An answer without `by` still draws.
    if (known < bucket.count) {
      add(counts, 'none', i, bucket.count - known);
      sums.none += bucket.count - known;
    }
  });
  const totals = buckets.map((bucket) => bucket.count);
  return {
    starts: buckets.map((bucket) => Date.parse(bucket.start)),
    counts,
    totals,
    sums,
    total: totals.reduce((sum, count) => sum + count, 0),
    words: wordsByLevel(wordCounts),
  };
}

function add(counts: number[][], level: StackLevel, i: number, count: number): void {
  const row = counts[STACK_ORDER.indexOf(level)];
  if (row) row[i] = (row[i] ?? 0) + count;
}

function wordsByLevel(wordCounts: Map<string, number>): Record<StackLevel, string[]> {
  const words = Object.fromEntries(STACK_ORDER.map((level) => [level, [] as string[]])) as Record<
    StackLevel,
    string[]
  >;
  const sorted = [...wordCounts].sort((a, b) => b[1] - a[1]);
  for (const [word] of sorted) words[levelName(word) as StackLevel].push(word);
  return words;
}

/** Running sums from the bottom up: what is drawn, tallest first. */
export function cumulate(counts: readonly number[][]): number[][] {
  const sums: number[][] = [];
  counts.forEach((row, level) => {
    const below = sums[level - 1];
    sums.push(row.map((count, i) => count + (below?.[i] ?? 0)));
  });
  return sums;
}
