import { lazy, Suspense, useEffect, useState, type FormEvent } from 'react';
import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';
import { serverNow } from '../api/client';
import { useMessages } from '../i18n';
import type { Messages } from '../i18n/en';
import { isTyping } from '../state/keys';
import { setPrefs, usePrefs } from '../state/prefs';
import { REFRESH_CHOICES_S } from '../state/url';
import { rangeLabel, wallClock, zoneName, type Locale } from '../time/format';
import {
  earlierRange,
  isRelative,
  laterRange,
  parseQuickRange,
  resolveRange,
  resolveTime,
  type ResolvedRange,
  type TimeRange,
  type TimeZone,
} from '../time/range';
import { Icon } from './Icon';
import { IconButton } from './IconButton';
import { Segmented } from './Segmented';

/** The calendar is large and rarely needed. */
const TimeCalendar = lazy(() => import('./TimeCalendar'));

const PRESETS: readonly (readonly [number, 'm' | 'h' | 'd'])[] = [
  [5, 'm'],
  [15, 'm'],
  [30, 'm'],
  [1, 'h'],
  [3, 'h'],
  [6, 'h'],
  [12, 'h'],
  [24, 'h'],
  [2, 'd'],
  [7, 'd'],
  [30, 'd'],
];

interface Preset {
  label: string;
  range: TimeRange;
}

function presets(t: Messages): Preset[] {
  return [
    ...PRESETS.map(([count, unit]) => ({
      label: t.timeLast(count, unit),
      range: { from: `now-${count}${unit}`, to: 'now' },
    })),
    { label: t.timeToday, range: { from: 'now/d', to: 'now' } },
    { label: t.timeYesterday, range: { from: 'now-1d/d', to: 'now/d' } },
  ];
}

const same = (a: TimeRange, b: TimeRange) => a.from === b.from && a.to === b.to;

/** What the button shows: the words of a preset, or the times themselves. */
function describeRange(range: TimeRange, t: Messages, zone: TimeZone, locale: Locale): string {
  const preset = presets(t).find((known) => same(known.range, range));
  if (preset) return preset.label;
  const simple = /^now-(\d+)([mhd])$/.exec(range.from);
  if (simple && range.to === 'now') return t.timeLast(Number(simple[1]), simple[2] as 'm' | 'h' | 'd');
  if (isRelative(range)) return `${range.from} – ${range.to}`;
  const start = resolveTime(range.from, 0, zone);
  const end = resolveTime(range.to, 0, zone);
  if (start === null || end === null) return `${range.from} – ${range.to}`;
  return rangeLabel(start, end, zone, locale);
}

export interface TimePickerProps {
  range: TimeRange;
  /** What the page shows of it, from where the arrows go. */
  shown: ResolvedRange;
  refreshS: number;
  onRange: (range: TimeRange) => void;
  onRefresh: (seconds: number) => void;
}

export function TimePicker({ range, shown, refreshS, onRange, onRefresh }: TimePickerProps) {
  const t = useMessages();
  const { timeZone, locale } = usePrefs();
  const label = describeRange(range, t, timeZone, locale);
  const { earlier, later } = useSteps(range, shown, timeZone, onRange);
  return (
    <div className="timepicker-bar" role="group" aria-label={t.timeRange}>
      <IconButton icon="left" label={t.timeEarlier} onClick={earlier} />
      <DialogTrigger>
        <Button className="button timepicker-button" aria-label={`${t.timeRange}: ${label}`}>
          <Icon name="clock" />
          <span>{label}</span>
          {timeZone === 'utc' && <small>UTC</small>}
          <Icon name="down" />
        </Button>
        <Popover className="popover" placement="bottom end">
          <Dialog className="timepicker" aria-label={t.timeRange}>
            {({ close }) => (
              <>
                <QuickRanges range={range} onPick={(picked) => (onRange(picked), close())} />
                <div className="timepicker-main">
                  <AbsoluteForm range={range} onApply={(picked) => (onRange(picked), close())} />
                  <div className="timepicker-foot">
                    <Segmented
                      label={`${t.timeZone} (${zoneName('local')})`}
                      value={timeZone}
                      options={[
                        ['local', t.timeZoneLocal],
                        ['utc', t.timeZoneUtc],
                      ]}
                      onChange={(zone) => setPrefs({ timeZone: zone })}
                    />
                    <Segmented
                      label={t.autoRefresh}
                      value={String(refreshS)}
                      options={REFRESH_CHOICES_S.map((s) => [String(s), s ? t.seconds(s) : t.autoRefreshOff])}
                      onChange={(seconds) => onRefresh(Number(seconds))}
                    />
                  </div>
                </div>
              </>
            )}
          </Dialog>
        </Popover>
      </DialogTrigger>
      <IconButton icon="right" label={t.timeLater} onClick={later ?? (() => {})} disabled={!later} />
    </div>
  );
}

/** One length back or on, by arrows and by keys; nothing is later than a range that ends now. */
function useSteps(
  range: TimeRange,
  shown: ResolvedRange,
  zone: TimeZone,
  onRange: (range: TimeRange) => void,
): { earlier: () => void; later: (() => void) | null } {
  const nowMs = serverNow();
  const endsNow = resolveRange(range, nowMs, zone).endMs >= nowMs;
  const earlier = () => onRange(earlierRange(shown, zone));
  const later = endsNow ? null : () => onRange(laterRange(shown, serverNow(), zone));
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      if (event.key === '[') earlier();
      else if (event.key === ']') later?.();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  });
  return { earlier, later };
}

function QuickRanges({ range, onPick }: { range: TimeRange; onPick: (range: TimeRange) => void }) {
  const t = useMessages();
  const [typed, setTyped] = useState('');
  const parsed = parseQuickRange(typed);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (parsed) onPick(parsed);
  };
  return (
    <div className="timepicker-quick">
      <form onSubmit={submit}>
        <input
          className="input"
          type="text"
          value={typed}
          placeholder={t.timeTyped}
          aria-label={t.timeTyped}
          aria-invalid={typed !== '' && !parsed}
          onChange={(event) => setTyped(event.target.value)}
        />
      </form>
      <h2>{t.timeQuick}</h2>
      <ul>
        {presets(t).map((preset) => (
          <li key={preset.label}>
            <button
              type="button"
              className="menu-item"
              aria-current={same(preset.range, range)}
              onClick={() => onPick(preset.range)}
            >
              {preset.label}
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

function AbsoluteForm({ range, onApply }: { range: TimeRange; onApply: (range: TimeRange) => void }) {
  const t = useMessages();
  const { timeZone } = usePrefs();
  const shown = (expression: string) => {
    if (expression.startsWith('now')) return expression;
    const at = resolveTime(expression, 0, timeZone);
    return at === null ? expression : wallClock(at, timeZone);
  };
  const [from, setFrom] = useState(() => shown(range.from));
  const [to, setTo] = useState(() => shown(range.to));
  const startMs = resolveTime(from, serverNow(), timeZone);
  const endMs = resolveTime(to, serverNow(), timeZone);
  const ordered = startMs === null || endMs === null || startMs < endMs;
  // Text that was not touched keeps its milliseconds.
  const kept = (text: string, ms: number | null, old: string) => {
    if (text === shown(old)) return old;
    return text.trim().startsWith('now') ? text.trim() : new Date(ms ?? 0).toISOString();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (startMs === null || endMs === null || !ordered) return;
    onApply({ from: kept(from, startMs, range.from), to: kept(to, endMs, range.to) });
  };
  return (
    <form className="timepicker-absolute" onSubmit={submit}>
      <h2>{t.timeAbsolute}</h2>
      <Suspense fallback={<div className="calendar-room" />}>
        <TimeCalendar
          label={t.timeCalendar}
          startMs={startMs}
          endMs={endMs}
          zone={timeZone}
          onPick={(pickedStart, pickedEnd) => {
            setFrom(wallClock(pickedStart, timeZone));
            setTo(wallClock(pickedEnd, timeZone));
          }}
        />
      </Suspense>
      <TimeInput label={t.timeFrom} value={from} isBad={startMs === null} onChange={setFrom} />
      <TimeInput label={t.timeTo} value={to} isBad={endMs === null} onChange={setTo} />
      <p className="hint" role={ordered ? undefined : 'alert'}>
        {startMs === null || endMs === null ? t.timeInvalid : ordered ? t.timeHint : t.timeOrder}
      </p>
      <button
        type="submit"
        className="button is-primary"
        disabled={startMs === null || endMs === null || !ordered}
      >
        {t.timeApply}
      </button>
    </form>
  );
}

interface TimeInputProps {
  label: string;
  value: string;
  isBad: boolean;
  onChange: (value: string) => void;
}

function TimeInput({ label, value, isBad, onChange }: TimeInputProps) {
  return (
    <label className="field-row">
      <span>{label}</span>
      <input
        className="input is-mono"
        type="text"
        value={value}
        spellCheck={false}
        aria-invalid={isBad}
        onChange={(event) => onChange(event.target.value)}
      />
    </label>
  );
}
