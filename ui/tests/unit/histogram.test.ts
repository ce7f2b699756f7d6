import { expect, test } from 'vitest';
import type { Bucket } from '../../src/api/types';
import { cumulate, STACK_ORDER, stackBuckets } from '../../src/histogram/levels';

const buckets: Bucket[] = [
  { start: '2026-11-20T09:57:00Z', count: 12, by: { error: 2, info: 8, _missing: 2 } },
  { start: '2026-11-20T09:58:00Z', count: 5, by: { ERROR: 1, warning: 3 } },
  { start: '2026-11-20T09:59:00Z', count: 3 },
];

test('bars of all levels add up to the count of the bucket', () => {
  const stacks = stackBuckets(buckets);
  expect(stacks.totals).toEqual([12, 5, 3]);
  expect(cumulate(stacks.counts).at(-1)).toEqual([12, 5, 3]);
  expect(stacks.total).toBe(20);
});

test('words for the same level share a bar, and a click filters by the field’s own word', () => {
  const stacks = stackBuckets(buckets);
  expect(stacks.sums).toMatchObject({ error: 3, info: 8, warn: 3, none: 6 });
  expect(stacks.words.error).toEqual(['error', 'ERROR']);
  expect(stacks.words.warn).toEqual(['warning']);
});

test('the worst levels are at the bottom', () => {
  expect(STACK_ORDER.slice(0, 2)).toEqual(['fatal', 'error']);
});
