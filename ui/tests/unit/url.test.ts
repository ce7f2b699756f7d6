import { expect, test } from 'vitest';
import { formatState, parseState } from '../../src/state/url';

test('a plain address is the plain page', () => {
  expect(formatState(parseState(''))).toBe('');
  expect(parseState('')).toMatchObject({ query: '', from: 'now-1h', to: 'now', order: 'desc', live: false });
});

test('all state survives the address', () => {
  const state = {
    query: 'level: error and "a+b" 결제 &f=x',
    filters: [{ field: 'http.status', value: 500, negated: true }],
    from: '2026-11-20T09:00:00.000Z',
    to: 'now',
    columns: ['level', 'a,b', '50%', 'message'],
    order: 'asc' as const,
    wrap: true,
    live: true,
    refreshS: 10,
    record: 'id/with?odd&signs',
    limit: 5000,
    room: 'alerts' as const,
    tab: 'silences',
    rule: '',
  };
  expect(parseState(formatState(state))).toEqual(state);
});

test('nonsense in the address falls back to the defaults', () => {
  const state = parseState('?limit=99999999&refresh=1&order=up&cols=&f=%&wrap=yes');
  expect(state).toMatchObject({ limit: 300, refreshS: 0, order: 'desc', filters: [], wrap: false });
  expect(state.columns.length).toBeGreaterThan(0);
});
