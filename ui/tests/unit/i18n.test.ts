import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { en } from '../../src/i18n/en';
import { ko } from '../../src/i18n/ko';

const SOURCE = join(import.meta.dirname, '../../src');

function sources(): string {
  return readdirSync(SOURCE, { recursive: true })
    .map(String)
    .filter((name) => /\.tsx?$/.test(name) && !/i18n[\\/](en|ko)\.ts$/.test(name))
    .map((name) => readFileSync(join(SOURCE, name), 'utf8'))
    .join('\n');
}

test('both languages have the same keys of the same kind', () => {
  expect(Object.keys(ko).sort()).toEqual(Object.keys(en).sort());
  for (const [key, text] of Object.entries(en))
    expect(typeof ko[key as keyof typeof en], key).toBe(typeof text);
});

test('no text is empty', () => {
  for (const texts of [en, ko]) {
    for (const [key, text] of Object.entries(texts))
      if (typeof text === 'string') expect(text, key).not.toBe('');
  }
});

test('no key is unused', () => {
  const text = sources();
  const unused = Object.keys(en).filter((key) => !new RegExp(`\\bt\\.${key}\\b`).test(text));
  expect(unused).toEqual([]);
});

test('Korean is Korean', () => {
  const same = new Set(['appName', 'detailsJson', 'timeZoneUtc']);
  const left = Object.entries(ko).filter(
    ([key, text]) => typeof text === 'string' && !same.has(key) && !/[가-힣]/.test(text),
  );
  expect(left).toEqual([]);
});

test('one record is not many', () => {
  expect([en.recordsMatched('1'), en.recordsMatched('1,000')]).toEqual(['1 record', '1,000 records']);
});
