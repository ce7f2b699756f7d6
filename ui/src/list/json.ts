/** Records as JSON text, with integers of any size written exactly. */
import type { FieldValue, LogRecord } from '../api/types';

export function valueJson(value: FieldValue): string {
  if (typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(valueJson).join(', ')}]`;
  if (value !== null && typeof value === 'object') {
    const inner = Object.entries(value).map(
      ([name, member]) => `${JSON.stringify(name)}: ${valueJson(member)}`,
    );
    return `{${inner.join(', ')}}`;
  }
  return JSON.stringify(value);
}

function members(record: LogRecord): string[] {
  return Object.entries(record)
    .filter(([name, value]) => value !== undefined && name !== '_original' && name !== '_truncated')
    .map(([name, value]) => `${JSON.stringify(name)}: ${valueJson(value ?? null)}`);
}

export function prettyRecord(record: LogRecord): string {
  return `{\n  ${members(record).join(',\n  ')}\n}`;
}
