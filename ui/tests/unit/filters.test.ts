import { expect, test } from 'vitest';
import {
  combine,
  decodeFilter,
  encodeFilter,
  filterClause,
  withFilter,
  type Filter,
} from '../../src/query/filters';

const AWKWARD: Filter['value'][] = [
  ...[
    null,
    '',
    'error',
    '=',
    '==',
    '=5',
    ':',
    'a:b',
    'x y',
    '100%',
    '%41',
    '결제',
    'say "hi" \\ *',
    '\n\t',
    '+',
    '&f=1',
  ],
  ...[0, -1.5, 200, true, false, 'true', '200'],
];

test('every filter survives the way through the address', () => {
  for (const value of AWKWARD) {
    for (const field of ['level', 'http.status', 'a:b', 'x y', '필드', '+-', '%']) {
      for (const negated of [true, false]) {
        const filter = { field, value, negated };
        const address = new URLSearchParams([['f', encodeFilter(filter)]]).toString();
        expect(decodeFilter(new URLSearchParams(address).get('f') ?? '')).toEqual(filter);
      }
    }
  }
});

test('nonsense in the address is no filter', () => {
  for (const text of ['', 'x', '+', '-:', '+%zz:1']) expect(decodeFilter(text)).toBeNull();
});

test('clauses are written as KQL', () => {
  expect(filterClause({ field: 'level', value: 'error', negated: false })).toBe('level: "error"');
  expect(filterClause({ field: 'http.status', value: 500, negated: true })).toBe('not http.status: 500');
  expect(filterClause({ field: 'trace_id', value: null, negated: false })).toBe('trace_id: *');
  expect(filterClause({ field: 'a b:c', value: 'say "x"\\', negated: false })).toBe(
    'a\\ b\\:c: "say \\"x\\"\\\\"',
  );
  expect(filterClause({ field: 'not', value: true, negated: false })).toBe('\\not: true');
});

test('filters bind tighter than an `or` of the query', () => {
  const filters = [{ field: 'pod', value: 'a', negated: false }];
  expect(combine('', [])).toBe('');
  expect(combine(' x ', [])).toBe('x');
  expect(combine('', filters)).toBe('pod: "a"');
  expect(combine('x and y', filters)).toBe('x and y and pod: "a"');
  expect(combine('x OR y', filters)).toBe('(x OR y) and pod: "a"');
});

test('the opposite filter replaces, the same one is not added twice', () => {
  const only = { field: 'pod', value: 'a', negated: false };
  expect(withFilter([only], only)).toEqual([only]);
  expect(withFilter([only], { ...only, negated: true })).toEqual([{ ...only, negated: true }]);
  expect(withFilter([only], { ...only, value: 'b' })).toHaveLength(2);
});
