/**
 * Filters: pills beside the query, kept in the address and joined to the query with `and`.
 *
 * Invariant: `decodeFilter(encodeFilter(f))` gives `f` back, whatever its field and value hold.
 */
export interface Filter {
  field: string;
  /** null means "the field exists". */
  value: string | number | boolean | null;
  negated: boolean;
}

/** Words that KQL would read as operators. */
const RESERVED = /^(and|or|not)$/i;

function quote(text: string): string {
  const escaped = text
    .replace(/[\\"]/g, '\\$&')
    .replace(/\n/g, '\\n')
    .replace(/\r/g, '\\r')
    .replace(/\t/g, '\\t');
  return `"${escaped}"`;
}

/** A field name as KQL reads it: special characters are escaped. */
export function kqlField(name: string): string {
  if (RESERVED.test(name)) return `\\${name}`;
  return name.replace(/[\\():<>"*{}]/g, '\\$&').replace(/\s/g, '\\ ');
}

export function kqlValue(value: string | number | boolean): string {
  return typeof value === 'string' ? quote(value) : String(value);
}

export function filterClause(filter: Filter): string {
  const value = filter.value === null ? '*' : kqlValue(filter.value);
  return `${filter.negated ? 'not ' : ''}${kqlField(filter.field)}: ${value}`;
}

/**
 * The expression sent to the server. The typed query comes first, so that the place of an error in
 * it stays the same; parentheses are added only where an `or` would otherwise take the filters in.
 */
export function combine(query: string, filters: readonly Filter[]): string {
  const typed = query.trim();
  const clauses = filters.map(filterClause);
  if (!typed) return clauses.join(' and ');
  if (clauses.length === 0) return typed;
  const first = /\bor\b/i.test(typed) ? `(${typed})` : typed;
  return [first, ...clauses].join(' and ');
}

export function encodeFilter(filter: Filter): string {
  const sign = filter.negated ? '-' : '+';
  const field = encodeURIComponent(filter.field);
  if (filter.value === null) return sign + field;
  const tag = typeof filter.value === 'string' ? ':' : ':=';
  // A string that starts with `=` is told from a number by doubling it.
  const text = typeof filter.value === 'string' ? filter.value.replace(/^=/, '==') : String(filter.value);
  return `${sign}${field}${tag}${text}`;
}

export function decodeFilter(text: string): Filter | null {
  const match = /^([-+ ])([^:]+)(?::([\s\S]*))?$/.exec(text);
  if (!match) return null;
  const field = safeDecode(match[2] ?? '');
  if (field === null) return null;
  const raw = match[3];
  return { field, negated: match[1] === '-', value: raw === undefined ? null : decodeValue(raw) };
}

function decodeValue(raw: string): string | number | boolean {
  if (raw.startsWith('==')) return raw.slice(1);
  if (!raw.startsWith('=')) return raw;
  const text = raw.slice(1);
  if (text === 'true' || text === 'false') return text === 'true';
  const number = Number(text);
  return text === '' || Number.isNaN(number) ? raw : number;
}

function safeDecode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

const sameTarget = (a: Filter, b: Filter) => a.field === b.field && a.value === b.value;

/** Adds a filter; the opposite of the same thing is replaced, the same thing is not added twice. */
export function withFilter(filters: readonly Filter[], filter: Filter): Filter[] {
  return [...filters.filter((present) => !sameTarget(present, filter)), filter];
}
