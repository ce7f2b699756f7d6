/**
 * Talks to the REST API below the page's base address.
 *
 * Owns: building requests, error answers, the difference between this clock and the server's.
 * Does not own: caching and cancelling (the query layer passes a signal).
 */
import type {
  CountAnswer,
  FieldsAnswer,
  HistogramAnswer,
  LogRecord,
  Order,
  Scope,
  SearchAnswer,
  ValuesAnswer,
} from './types';

/** Text values longer than this are cut in list answers; the whole record comes by id. */
const LIST_TRUNCATE_BYTES = 2048;
/** A smaller difference is noise: the `Date` header has whole seconds. */
const CLOCK_SKEW_MS_MIN = 3000;

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly kind: string,
    message: string,
    readonly caret?: string,
  ) {
    super(message);
    this.name = 'ApiError';
  }

  /** The query itself is at fault, so repeating it cannot help. */
  get isInvalid(): boolean {
    return this.status === 400 || this.kind === 'invalid';
  }
}

let clockSkewMs = 0;

/** The time at the server, so that "last 5 minutes" is right on a machine with a wrong clock. */
export function serverNow(): number {
  return Date.now() + clockSkewMs;
}

export function apiUrl(path: string): URL {
  return new URL(`api/v1/${path}`, document.baseURI);
}

type Parameters = Record<string, string | number | boolean | undefined | null>;

/** A request with a JSON body or none, and its JSON answer; nothing where there is no content. */
export async function request<T>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
): Promise<T> {
  const response = await fetch(apiUrl(path), {
    method,
    headers: { accept: 'application/json', ...(body == null ? {} : { 'content-type': 'application/json' }) },
    body: body == null ? null : JSON.stringify(body),
    signal: signal ?? null,
  });
  const text = await readBody(response);
  return (text ? JSON.parse(text) : null) as T;
}

async function post<T>(path: string, parameters: Parameters, signal?: AbortSignal): Promise<T> {
  const body = JSON.stringify(Object.fromEntries(Object.entries(parameters).filter(([, v]) => v != null)));
  const response = await fetch(apiUrl(path), {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body,
    signal: signal ?? null,
  });
  return JSON.parse(await readBody(response)) as T;
}

async function readBody(response: Response): Promise<string> {
  noteClock(response.headers.get('date'));
  const text = await response.text();
  if (response.ok) return text;
  throw errorFrom(response, text);
}

function errorFrom(response: Response, text: string): ApiError {
  try {
    const { error } = JSON.parse(text) as { error?: { kind?: string; message?: string; caret?: string } };
    if (error?.message) return new ApiError(response.status, error.kind ?? '', error.message, error.caret);
  } catch {
    // Not Sawyer's own error body: a proxy answered.
  }
  return new ApiError(response.status, '', `${response.status} ${response.statusText}`.trim());
}

function noteClock(date: string | null): void {
  const serverMs = date ? Date.parse(date) : NaN;
  if (Number.isNaN(serverMs)) return;
  const skew = serverMs - Date.now();
  clockSkewMs = Math.abs(skew) < CLOCK_SKEW_MS_MIN ? 0 : skew;
}

function scopeParameters(scope: Scope): Parameters {
  return {
    query: scope.query,
    start: new Date(scope.startMs).toISOString(),
    end: new Date(scope.endMs).toISOString(),
  };
}

export interface PageOptions {
  order: Order;
  limit: number;
  cursor?: string | null;
}

export function searchPage(scope: Scope, page: PageOptions, signal?: AbortSignal): Promise<SearchAnswer> {
  const options = { ...page, truncate: LIST_TRUNCATE_BYTES, original: false };
  return post('search', { ...scopeParameters(scope), ...options }, signal);
}

export function countRecords(scope: Scope, signal?: AbortSignal): Promise<CountAnswer> {
  return post('count', scopeParameters(scope), signal);
}

export interface HistogramOptions {
  buckets: number;
  by: string;
  timeZone: string;
}

export function histogram(
  scope: Scope,
  { buckets, by, timeZone }: HistogramOptions,
  signal?: AbortSignal,
): Promise<HistogramAnswer> {
  return post('histogram', { ...scopeParameters(scope), buckets, by, time_zone: timeZone }, signal);
}

export function listFields(scope: Scope, signal?: AbortSignal): Promise<FieldsAnswer> {
  return post('fields', scopeParameters(scope), signal);
}

export interface ValuesOptions {
  field: string;
  limit?: number;
  prefix?: string;
}

export function topValues(scope: Scope, options: ValuesOptions, signal?: AbortSignal): Promise<ValuesAnswer> {
  return post('values', { ...scopeParameters(scope), ...options }, signal);
}

/** One whole record; integers beyond 2^53 arrive exact, as `bigint`. */
export async function getRecord(id: string, signal?: AbortSignal): Promise<LogRecord> {
  const response = await fetch(apiUrl(`records/${encodeURIComponent(id)}`), { signal: signal ?? null });
  const answer = JSON.parse(await readBody(response), exactIntegers as never) as { record: LogRecord };
  return answer.record;
}

/** A `JSON.parse` reviver that sees the source text where the browser gives it. */
function exactIntegers(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
  return context?.source && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
}

/** Where everything that matches is written by the server, a record a line; its last line says whether that is all. */
export function exportUrl(scope: Scope, order: Order): string {
  const url = apiUrl('export');
  for (const [name, value] of Object.entries({ ...scopeParameters(scope), order }))
    url.searchParams.set(name, String(value));
  return url.href;
}

/** The address of the live tail; read with `EventSource`. */
export function tailUrl(query: string): string {
  const url = apiUrl('tail');
  url.searchParams.set('query', query);
  url.searchParams.set('truncate', String(LIST_TRUNCATE_BYTES));
  url.searchParams.set('original', 'false');
  return url.href;
}
