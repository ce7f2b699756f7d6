/** How times, durations, sizes and counts are shown. Hot paths avoid Intl, the rest uses it. */
import type { TimeZone } from './range';

export type Locale = 'en' | 'ko';

const pad2 = (n: number) => (n < 10 ? `0${n}` : `${n}`);

interface Parts {
  year: number;
  month: number;
  day: number;
  hour: number;
  minute: number;
  second: number;
}

function partsOf(ms: number, zone: TimeZone): Parts {
  const d = new Date(ms);
  return zone === 'utc'
    ? {
        year: d.getUTCFullYear(),
        month: d.getUTCMonth() + 1,
        day: d.getUTCDate(),
        hour: d.getUTCHours(),
        minute: d.getUTCMinutes(),
        second: d.getUTCSeconds(),
      }
    : {
        year: d.getFullYear(),
        month: d.getMonth() + 1,
        day: d.getDate(),
        hour: d.getHours(),
        minute: d.getMinutes(),
        second: d.getSeconds(),
      };
}

const FRACTION = /\.(\d+)/;

/** `11-20 09:57:18.627`; digits after the stop are the record's own, never invented. */
export function rowTime(timestamp: string, zone: TimeZone, withDate: boolean): string {
  const ms = Date.parse(timestamp);
  if (Number.isNaN(ms)) return timestamp;
  const p = partsOf(ms, zone);
  const fraction = (FRACTION.exec(timestamp)?.[1] ?? '').padEnd(3, '0').slice(0, 3);
  const clock = `${pad2(p.hour)}:${pad2(p.minute)}:${pad2(p.second)}.${fraction}`;
  return withDate ? `${pad2(p.month)}-${pad2(p.day)} ${clock}` : clock;
}

/** `2026-11-20 09:57:18`, the form the picker's text boxes read back. */
export function wallClock(ms: number, zone: TimeZone): string {
  const p = partsOf(ms, zone);
  return `${p.year}-${pad2(p.month)}-${pad2(p.day)} ${pad2(p.hour)}:${pad2(p.minute)}:${pad2(p.second)}`;
}

/** `2026-11-20 18:57:18.627062502` with every digit of the record. */
export function fullTime(timestamp: string, zone: TimeZone): string {
  const ms = Date.parse(timestamp);
  if (Number.isNaN(ms)) return timestamp;
  const fraction = FRACTION.exec(timestamp)?.[1];
  return wallClock(ms, zone) + (fraction ? `.${fraction}` : '');
}

export function zoneName(zone: TimeZone): string {
  return zone === 'utc' ? 'UTC' : Intl.DateTimeFormat().resolvedOptions().timeZone;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function dateFormat(
  locale: Locale,
  zone: TimeZone,
  options: Intl.DateTimeFormatOptions,
): Intl.DateTimeFormat {
  const key = `${locale}|${zone}|${JSON.stringify(options)}`;
  let format = formats.get(key);
  if (!format) {
    const timeZone = zone === 'utc' ? { timeZone: 'UTC' } : {};
    format = new Intl.DateTimeFormat(locale, { hourCycle: 'h23', ...options, ...timeZone });
    formats.set(key, format);
  }
  return format;
}

/** `Nov 20, 09:57:18` or `11월 20일 09:57:18`. */
export function shortDateTime(ms: number, zone: TimeZone, locale: Locale): string {
  return dateFormat(locale, zone, {
    month: 'short',
    day: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  }).format(ms);
}

/** A label under the histogram; the date only where the day changes or days are shown. */
export function axisLabel(ms: number, stepMs: number, zone: TimeZone, locale: Locale): string {
  const p = partsOf(ms, zone);
  const atMidnight = p.hour === 0 && p.minute === 0 && p.second === 0;
  if (stepMs >= 86_400_000 || atMidnight) {
    return dateFormat(locale, zone, { month: 'short', day: 'numeric' }).format(ms);
  }
  const clock = `${pad2(p.hour)}:${pad2(p.minute)}`;
  return stepMs < 60_000 ? `${clock}:${pad2(p.second)}` : clock;
}

/** `Nov 20, 09:57 – 10:12`: the day once when both ends share it. */
export function rangeLabel(startMs: number, endMs: number, zone: TimeZone, locale: Locale): string {
  const seconds = endMs - startMs < 600_000 || startMs % 60_000 !== 0 || endMs % 60_000 !== 0;
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit' };
  if (seconds) clock.second = '2-digit';
  const day = dateFormat(locale, zone, { month: 'short', day: 'numeric' });
  const full = dateFormat(locale, zone, { month: 'short', day: 'numeric', ...clock });
  const sameDay = day.format(startMs) === day.format(endMs);
  const end = sameDay ? dateFormat(locale, zone, clock).format(endMs) : full.format(endMs);
  return `${full.format(startMs)} – ${end}`;
}

const numberFormats: Record<Locale, Intl.NumberFormat> = {
  en: new Intl.NumberFormat('en'),
  ko: new Intl.NumberFormat('ko'),
};
const compactFormats: Record<Locale, Intl.NumberFormat> = {
  en: new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 }),
  ko: new Intl.NumberFormat('ko', { notation: 'compact', maximumFractionDigits: 1 }),
};

export const formatCount = (n: number, locale: Locale) => numberFormats[locale].format(n);
export const formatCompact = (n: number, locale: Locale) => compactFormats[locale].format(n);

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < SIZE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${SIZE_UNITS[unit]}`;
}

export function formatMs(ms: number): string {
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

export function formatPercent(share: number, locale: Locale): string {
  const digits = share > 0 && share < 0.01 ? 1 : 0;
  return new Intl.NumberFormat(locale, { style: 'percent', maximumFractionDigits: digits }).format(share);
}
