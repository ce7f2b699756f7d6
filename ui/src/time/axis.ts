/**
 * Where an axis of time has its ticks.
 *
 * Owns: steps that people count in, aligned to the clock and the calendar of the chosen zone.
 * Does not own: how a tick is written (`axisLabel`).
 */
import type uPlot from 'uplot';
import { axisLabel, type Locale } from './format';
import type { TimeZone } from './range';

const TICK_SPACE_PX = 110;
const STEPS_MS = [
  ...[1, 2, 5, 10, 15, 30].map((s) => s * 1000),
  ...[1, 2, 5, 10, 15, 30].map((m) => m * 60_000),
  ...[1, 2, 3, 6, 12].map((h) => h * 3_600_000),
  ...[1, 2, 7, 14, 30, 90, 365].map((d) => d * 86_400_000),
];

/** Milliseconds between two ticks, so that their labels have room. */
export function axisStep(spanMs: number, widthPx: number): number {
  const wanted = spanMs / Math.max(1, widthPx / TICK_SPACE_PX);
  return STEPS_MS.find((step) => step >= wanted) ?? 365 * 86_400_000;
}

/** Ticks at round times of the chosen zone. */
export function axisTicks(startMs: number, endMs: number, stepMs: number, zone: TimeZone): number[] {
  const offset = zone === 'utc' ? 0 : -new Date(startMs).getTimezoneOffset() * 60_000;
  const ticks: number[] = [];
  for (let at = Math.ceil((startMs + offset) / stepMs) * stepMs - offset; at <= endMs; at += stepMs)
    ticks.push(at);
  return ticks;
}

/** What tells uPlot so; the view is asked for at each drawing. */
export function timeTicks(
  view: () => { zone: TimeZone; locale: Locale } | null,
): Required<Pick<uPlot.Axis, 'splits' | 'values'>> {
  const step = (u: uPlot) => {
    const { min, max } = u.scales['x'] ?? {};
    return axisStep((max ?? 1) - (min ?? 0), u.bbox.width / devicePixelRatio);
  };
  return {
    splits: (u, _axis, min, max) => axisTicks(min, max, step(u), view()?.zone ?? 'utc'),
    values: (u, splits) =>
      splits.map((at) => axisLabel(at, step(u), view()?.zone ?? 'utc', view()?.locale ?? 'en')),
  };
}
