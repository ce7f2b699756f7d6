import { expect, test } from 'vitest';
import { draftFrom, draftOf, labelsText, matchersOf, settingsOf } from '../../src/alerts/model';
import type { Rule } from '../../src/api/alerts';

test('a rule is named after its search', () => {
  expect(draftFrom('level: error and namespace: "shop"').name).toBe('level-error-and-namespace-shop');
  expect(draftFrom('결제 실패').name).toBe('결제-실패');
  expect(draftFrom('*')).toMatchObject({ name: 'all-records', query: '*', threshold: '>= 10' });
});

test('what the form does not show survives a change', () => {
  const settings = { query: 'a: 1', count: '>= 3', window: '1m', lateness: '9s', group_by: ['x', 'y'] };
  const rule = { name: 'r', settings } as unknown as Rule;
  const draft = draftOf(rule);
  expect(draft).toMatchObject({ kind: 'count', threshold: '>= 3', groupBy: 'x, y', hold: '0s' });
  const ratio = settingsOf({ ...draft, kind: 'ratio', threshold: '> 5%', base: 'b: 2' }, rule.settings);
  expect(ratio).toMatchObject({ ratio: '> 5%', base: 'b: 2', lateness: '9s', absent: false });
  expect(ratio).not.toHaveProperty('count');
  const absent = settingsOf({ ...draft, kind: 'absent' }, rule.settings);
  expect([absent.absent, 'count' in absent, 'ratio' in absent]).toEqual([true, false, false]);
});

test('labels become matchers of exactly these alerts', () => {
  const labels = { alertname: 'r', severity: 'error', pod: 'a"b' };
  expect(matchersOf(labels)).toEqual(['alertname="r"', 'pod="a\\"b"']);
  expect(labelsText(labels)).toBe('pod=a"b');
});
