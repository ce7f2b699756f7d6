/**
 * Time expressions of the picker and the address: `now-15m`, `now-1d/d`, RFC 3339.
 *
 * Owns: reading what people type, and turning an expression into milliseconds.
 * Does not own: how times are shown (`format.ts`).
 */
export type TimeZone = 'local' | 'utc';

export interface TimeRange {
  from: string;
  to: string;
}

export const DEFAULT_RANGE: TimeRange = { from: 'now-1h', to: 'now' };

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const EXPRESSION = /^now((?:[-+]\d+[smhdwMy])*)(?:\/([smhdwMy]))?$/;

/** Milliseconds since the epoch, or null where the expression means nothing. */
export function resolveTime(expression: string, nowMs: number, zone: TimeZone): number | null {
  const text = expression.trim();
  const match = EXPRESSION.exec(text);
  if (!match) return parseAbsolute(text, zone);
  let at = nowMs;
  for (const [, sign, count, unit] of (match[1] ?? '').matchAll(/([-+])(\d+)([smhdwMy])/g)) {
    at = shift(at, Number(`${sign}${count}`), unit ?? 's', zone);
  }
  return match[2] ? startOf(at, match[2], zone) : at;
}

function shift(at: number, count: number, unit: string, zone: TimeZone): number {
  const fixed = UNIT_MS[unit];
  if (fixed && unit !== 'd' && unit !== 'w') return at + count * fixed;
  const date = new Date(at);
  const days = unit === 'd' ? count : unit === 'w' ? count * 7 : 0;
  const months = unit === 'M' ? count : unit === 'y' ? count * 12 : 0;
  if (zone === 'utc') {
    date.setUTCMonth(date.getUTCMonth() + months, date.getUTCDate() + days);
  } else {
    date.setMonth(date.getMonth() + months, date.getDate() + days);
  }
  return date.getTime();
}

function startOf(at: number, unit: string, zone: TimeZone): number {
  const date = new Date(at);
  const utc = zone === 'utc';
  const [year, month, day] = utc
    ? [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()]
    : [date.getFullYear(), date.getMonth(), date.getDate()];
  const weekday = (utc ? date.getUTCDay() : date.getDay()) || 7;
  const make = (y: number, m: number, d: number) => (utc ? Date.UTC(y, m, d) : new Date(y, m, d).getTime());
  switch (unit) {
    case 'd':
      return make(year, month, day);
    case 'w':
      return make(year, month, day - weekday + 1);
    case 'M':
      return make(year, month, 1);
    case 'y':
      return make(year, 0, 1);
    default: {
      // Minutes and hours line up with the zone's own offset, which may be 30 or 45 minutes.
      const step = UNIT_MS[unit] ?? 1000;
      const offset = utc ? 0 : -date.getTimezoneOffset() * 60_000;
      return Math.floor((at + offset) / step) * step - offset;
    }
  }
}

const WALL_CLOCK = /^(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?)?$/;

function parseAbsolute(text: string, zone: TimeZone): number | null {
  const wall = WALL_CLOCK.exec(text);
  if (wall) {
    const [year, month, day, hour, minute, second] = wall.slice(1, 7).map((part) => Number(part ?? 0));
    const ms = Math.floor(Number(`0.${wall[7] ?? 0}`) * 1000);
    const parts = [year ?? 0, (month ?? 1) - 1, day ?? 1, hour ?? 0, minute ?? 0, second ?? 0, ms] as const;
    const at = zone === 'utc' ? Date.UTC(...parts) : new Date(...parts).getTime();
    return Number.isNaN(at) ? null : at;
  }
  if (/^\d{4}-\d{2}-\d{2}T/.test(text)) {
    const at = Date.parse(text);
    return Number.isNaN(at) ? null : at;
  }
  return null;
}

export interface ResolvedRange {
  startMs: number;
  endMs: number;
}

/** Falls back to the default where the address holds nonsense, and never gives an empty range. */
export function resolveRange(range: TimeRange, nowMs: number, zone: TimeZone): ResolvedRange {
  const startMs = resolveTime(range.from, nowMs, zone);
  const endMs = resolveTime(range.to, nowMs, zone);
  if (startMs === null || endMs === null || startMs >= endMs) {
    return { startMs: nowMs - 3_600_000, endMs: nowMs };
  }
  return { startMs, endMs };
}

const DAY_MS = 86_400_000;

/** Both ends moved by the length of the range; whole days stay whole where clocks change. */
function moved({ startMs, endMs }: ResolvedRange, sign: 1 | -1, zone: TimeZone): ResolvedRange {
  const isDays = [startMs, endMs].every((at) => startOf(at, 'd', zone) === at);
  const days = Math.round((endMs - startMs) / DAY_MS) * sign;
  const move = (at: number) => (isDays ? shift(at, days, 'd', zone) : at + (endMs - startMs) * sign);
  return { startMs: move(startMs), endMs: move(endMs) };
}

/** The range of the same length that ends where this one starts. */
export function earlierRange(range: ResolvedRange, zone: TimeZone): TimeRange {
  const { startMs, endMs } = moved(range, -1, zone);
  return absoluteRange(startMs, endMs);
}

/** The range of the same length that starts where this one ends; one that would end after now ends now, and moves on with it. */
export function laterRange(range: ResolvedRange, nowMs: number, zone: TimeZone): TimeRange {
  const { startMs, endMs } = moved(range, 1, zone);
  if (endMs < nowMs) return absoluteRange(startMs, endMs);
  return { from: `now-${lengthText(range.endMs - range.startMs)}`, to: 'now' };
}

/** `24h`, `7d`, `90s`: as the presets have it, to the second. */
function lengthText(ms: number): string {
  const length = Math.max(1000, Math.round(ms / 1000) * 1000);
  if (length > DAY_MS && length % DAY_MS === 0) return `${length / DAY_MS}d`;
  const unit = ['h', 'm'].find((name) => length % (UNIT_MS[name] ?? 1000) === 0) ?? 's';
  return `${length / (UNIT_MS[unit] ?? 1000)}${unit}`;
}

export function isRelative(range: TimeRange): boolean {
  return range.from.startsWith('now') || range.to.startsWith('now');
}

const SHORT = /^(?:last\s+|past\s+|최근\s*|지난\s*)?(\d+)\s*([a-zA-Z가-힣]+)(?:\s+ago|\s*전)?$/;
const UNIT_WORDS: ReadonlyArray<readonly [RegExp, string]> = [
  [/^(s|sec|secs|second|seconds|초)$/, 's'],
  [/^(m|min|mins|minute|minutes|분)$/, 'm'],
  [/^(h|hr|hrs|hour|hours|시간)$/, 'h'],
  [/^(d|day|days|일)$/, 'd'],
  [/^(w|week|weeks|주)$/, 'w'],
  [/^(M|mo|month|months|개월|달)$/, 'M'],
];
const DAY_WORDS: Readonly<Record<string, TimeRange>> = {
  today: { from: 'now/d', to: 'now' },
  오늘: { from: 'now/d', to: 'now' },
  yesterday: { from: 'now-1d/d', to: 'now/d' },
  어제: { from: 'now-1d/d', to: 'now/d' },
};

/** `15m`, `last 2 hours`, `3일`, `yesterday`; null when it is none of these. */
export function parseQuickRange(text: string): TimeRange | null {
  const typed = text.trim();
  const day = DAY_WORDS[typed.toLowerCase()];
  if (day) return day;
  const match = SHORT.exec(typed);
  if (!match) return null;
  const word = match[2] ?? '';
  // `1M` is a month and `1m` a minute, but `5 MIN` are minutes too.
  const unitOf = (text: string) => UNIT_WORDS.find(([pattern]) => pattern.test(text))?.[1];
  const unit = unitOf(word) ?? unitOf(word.toLowerCase());
  return unit && Number(match[1]) > 0 ? { from: `now-${Number(match[1])}${unit}`, to: 'now' } : null;
}

export function absoluteRange(startMs: number, endMs: number): TimeRange {
  return { from: new Date(startMs).toISOString(), to: new Date(endMs).toISOString() };
}
