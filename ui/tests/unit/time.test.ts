import { expect, test } from 'vitest';
import { axisStep, axisTicks } from '../../src/time/axis';
import {
  axisLabel,
  formatBytes,
  formatMs,
  fullTime,
  rangeLabel,
  rowTime,
  wallClock,
} from '../../src/time/format';
import {
  absoluteRange,
  earlierRange,
  laterRange,
  parseQuickRange,
  resolveRange,
  resolveTime,
  type ResolvedRange,
} from '../../src/time/range';

const NOW = Date.UTC(2026, 10, 20, 9, 57, 18, 627);
const utc = (text: string) => resolveTime(text, NOW, 'utc');
const iso = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());

test('relative times count from now', () => {
  expect(utc('now')).toBe(NOW);
  expect(utc('now-15m')).toBe(NOW - 900_000);
  expect(utc('now-1h+5m')).toBe(NOW - 3_300_000);
  expect(iso(utc('now-1M'))).toBe('2026-10-20T09:57:18.627Z');
});

test('rounding goes down to the calendar', () => {
  expect(iso(utc('now/d'))).toBe('2026-11-20T00:00:00.000Z');
  expect(iso(utc('now-1d/d'))).toBe('2026-11-19T00:00:00.000Z');
  expect(iso(utc('now/h'))).toBe('2026-11-20T09:00:00.000Z');
  expect(iso(utc('now/w'))).toBe('2026-11-16T00:00:00.000Z');
  expect(iso(utc('now/y'))).toBe('2026-01-01T00:00:00.000Z');
});

test('absolute times are read with and without a zone', () => {
  expect(iso(utc('2026-11-20 09:00'))).toBe('2026-11-20T09:00:00.000Z');
  expect(iso(utc('2026-11-20'))).toBe('2026-11-20T00:00:00.000Z');
  expect(iso(utc('2026-11-20T18:00:00+09:00'))).toBe('2026-11-20T09:00:00.000Z');
  expect(resolveTime('2026-11-20 09:00', NOW, 'local')).toBe(new Date(2026, 10, 20, 9).getTime());
});

test('nonsense is refused', () => {
  for (const text of ['', 'now-', 'now-5x', 'tomorrow', '2026', '20:00', 'now/x'])
    expect(utc(text)).toBeNull();
});

test('a range that is empty or turned round falls back to the last hour', () => {
  const fallback = { startMs: NOW - 3_600_000, endMs: NOW };
  expect(resolveRange({ from: 'now', to: 'now-1h' }, NOW, 'utc')).toEqual(fallback);
  expect(resolveRange({ from: 'x', to: 'y' }, NOW, 'utc')).toEqual(fallback);
});

test('a step goes by the length of the range', () => {
  const hour = { startMs: NOW - 3 * 3_600_000, endMs: NOW - 2 * 3_600_000 };
  expect(earlierRange(hour, 'utc')).toEqual(absoluteRange(NOW - 4 * 3_600_000, NOW - 3 * 3_600_000));
  expect(laterRange(hour, NOW, 'utc')).toEqual(absoluteRange(NOW - 2 * 3_600_000, NOW - 3_600_000));
});

test('whole days step to whole days, also where clocks change', () => {
  const day = (from: number, to: number): ResolvedRange => ({
    startMs: new Date(2026, 9, from).getTime(),
    endMs: new Date(2026, 9, to).getTime(),
  });
  const range = ({ startMs, endMs }: ResolvedRange) => absoluteRange(startMs, endMs);
  // Wherever this runs, and in Europe the 25th has 25 hours.
  for (let at = 20; at < 30; at += 1) {
    expect(earlierRange(day(at, at + 1), 'local')).toEqual(range(day(at - 1, at)));
    expect(laterRange(day(at, at + 2), NOW, 'local')).toEqual(range(day(at + 2, at + 4)));
  }
});

test('no step goes beyond now', () => {
  const before = (seconds: number, length: number) => ({
    startMs: NOW - (seconds + length) * 1000,
    endMs: NOW - seconds * 1000,
  });
  const later = (seconds: number, length: number) => laterRange(before(seconds, length), NOW, 'utc').from;
  expect(laterRange(before(60, 900), NOW, 'utc')).toEqual({ from: 'now-15m', to: 'now' });
  expect([later(1, 3600), later(1, 86_400), later(1, 604_800), later(1, 90)]).toEqual([
    'now-1h',
    'now-24h',
    'now-7d',
    'now-90s',
  ]);
});

test('ranges are typed in words of both languages', () => {
  const last = (unit: string) => ({ from: `now-${unit}`, to: 'now' });
  expect(parseQuickRange('45m')).toEqual(last('45m'));
  expect(parseQuickRange('last 2 hours')).toEqual(last('2h'));
  expect(parseQuickRange('3일')).toEqual(last('3d'));
  expect(parseQuickRange('최근 10분')).toEqual(last('10m'));
  expect(parseQuickRange('1M')).toEqual(last('1M'));
  expect(parseQuickRange('어제')).toEqual({ from: 'now-1d/d', to: 'now/d' });
  expect(parseQuickRange('soon')).toBeNull();
  expect(parseQuickRange('0m')).toBeNull();
});

test('no digit of a timestamp is lost or invented', () => {
  expect(fullTime('2026-11-20T09:57:18.627062502Z', 'utc')).toBe('2026-11-20 09:57:18.627062502');
  expect(fullTime('2026-11-20T09:57:18Z', 'utc')).toBe('2026-11-20 09:57:18');
  expect(rowTime('2026-11-20T09:57:18.6Z', 'utc', false)).toBe('09:57:18.600');
  expect(rowTime('2026-11-20T09:57:18.627062502Z', 'utc', true)).toBe('11-20 09:57:18.627');
  expect(rowTime('garbage', 'utc', true)).toBe('garbage');
});

test('what the picker shows is read back as the same time', () => {
  const second = Math.floor(NOW / 1000) * 1000;
  for (const zone of ['utc', 'local'] as const) {
    expect(resolveTime(wallClock(second, zone), NOW, zone)).toBe(second);
  }
});

test('labels follow language and zone', () => {
  const start = Date.UTC(2026, 10, 20, 9);
  expect(rangeLabel(start, start + 3_600_000, 'utc', 'en')).toBe('Nov 20, 09:00 – 10:00');
  expect(rangeLabel(start, start + 3_600_000, 'utc', 'ko')).toMatch(/^11월 20일.*09:00 – 10:00$/);
  expect(axisLabel(start, 60_000, 'utc', 'en')).toBe('09:00');
  expect(axisLabel(Date.UTC(2026, 10, 20), 3_600_000, 'utc', 'ko')).toBe('11월 20일');
});

test('ticks stand at round times of the zone, with room for their labels', () => {
  expect(axisStep(6 * 3_600_000, 800)).toBe(3_600_000);
  expect(axisStep(7 * 86_400_000, 800)).toBe(86_400_000);
  const step = 6 * 3_600_000;
  const labels = axisTicks(NOW - 86_400_000, NOW, step, 'utc').map((at) => axisLabel(at, step, 'utc', 'en'));
  expect(labels).toEqual(['12:00', '18:00', 'Nov 20', '06:00']);
  for (const at of axisTicks(NOW - 3 * 86_400_000, NOW, 86_400_000, 'local'))
    expect(new Date(at).getHours()).toBe(0);
});

test('sizes and durations are short', () => {
  expect([0, 1023, 1024, 150_000, 5_000_000].map(formatBytes)).toEqual([
    '0 B',
    '1023 B',
    '1.0 KiB',
    '146 KiB',
    '4.8 MiB',
  ]);
  expect([1.9, 12.3, 2500].map(formatMs)).toEqual(['1.9 ms', '12 ms', '2.50 s']);
});
