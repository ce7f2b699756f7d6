import { CalendarDate, type DateValue } from '@internationalized/date';
import {
  Button,
  CalendarCell,
  CalendarGrid,
  Heading,
  RangeCalendar,
  type RangeValue,
} from 'react-aria-components';
import { useMessages } from '../i18n';
import type { TimeZone } from '../time/range';
import { Icon } from './Icon';

export interface TimeCalendarProps {
  label: string;
  startMs: number | null;
  endMs: number | null;
  zone: TimeZone;
  /** From the first moment of the first day to the first moment after the last one. */
  onPick: (startMs: number, endMs: number) => void;
}

function dayOf(ms: number, zone: TimeZone): CalendarDate {
  const d = new Date(ms);
  return zone === 'utc'
    ? new CalendarDate(d.getUTCFullYear(), d.getUTCMonth() + 1, d.getUTCDate())
    : new CalendarDate(d.getFullYear(), d.getMonth() + 1, d.getDate());
}

function startOfDay(day: DateValue, zone: TimeZone): number {
  return zone === 'utc'
    ? Date.UTC(day.year, day.month - 1, day.day)
    : new Date(day.year, day.month - 1, day.day).getTime();
}

/** Days of a range; loaded when the picker is opened. */
export default function TimeCalendar({ label, startMs, endMs, zone, onPick }: TimeCalendarProps) {
  const t = useMessages();
  const value: RangeValue<CalendarDate> | null =
    startMs !== null && endMs !== null && startMs < endMs
      ? { start: dayOf(startMs, zone), end: dayOf(endMs - 1, zone) }
      : null;
  return (
    <RangeCalendar
      className="calendar"
      aria-label={label}
      value={value}
      defaultFocusedValue={value?.end}
      onChange={(range) => {
        if (range) onPick(startOfDay(range.start, zone), startOfDay(range.end.add({ days: 1 }), zone));
      }}
    >
      <header>
        <Button slot="previous" className="icon-button" aria-label={t.previousMonth}>
          <Icon name="left" />
        </Button>
        <Heading />
        <Button slot="next" className="icon-button" aria-label={t.nextMonth}>
          <Icon name="right" />
        </Button>
      </header>
      <CalendarGrid weekdayStyle="short">{(date) => <CalendarCell date={date} />}</CalendarGrid>
    </RangeCalendar>
  );
}
