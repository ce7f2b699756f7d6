import { expect, test } from 'vitest';
import type { SearchAnswer } from '../../src/api/types';
import { isStuck } from '../../src/state/search';

const page = (cursor: string | null, messages: string[] = []): SearchAnswer =>
  ({ records: messages.map((message) => ({ message })), cursor, stats: {} }) as unknown as SearchAnswer;

test('the same cursor without records leads nowhere', () => {
  expect(isStuck()).toBe(false);
  // The first page may be empty: it says where to go on.
  expect(isStuck([page('a')], [null])).toBe(false);
  expect(isStuck([page('a'), page('a')], [null, 'a'])).toBe(true);
  expect(isStuck([page('a', ['one']), page('a')], [null, 'a'])).toBe(true);
  expect(isStuck([page('a'), page('b')], [null, 'a'])).toBe(false);
  expect(isStuck([page('a'), page('b', ['one'])], [null, 'a'])).toBe(false);
  expect(isStuck([page('a'), page(null)], [null, 'a'])).toBe(false);
});
