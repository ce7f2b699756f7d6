/** Shapes of the REST API as docs/api.md describes them. */

/** Lists of objects are kept whole beside their flattened paths; nothing else is an object. */
export type FieldValue =
  null | boolean | number | bigint | string | FieldValue[] | { [key: string]: FieldValue };

/** One flat object; dotted paths are keys. Names that start with `_` belong to Sawyer. */
export interface LogRecord {
  _id: string;
  timestamp: string;
  [field: string]: FieldValue | undefined;
}

export interface Stats {
  rows_matched?: number;
  rows_scanned?: number;
  bytes_read?: number;
  segments_read?: number;
  segments_skipped?: number;
  elapsed_ms?: number;
  partial?: boolean;
}

export interface SearchAnswer {
  records: LogRecord[];
  cursor: string | null;
  stats: Stats;
}

export interface CountAnswer {
  count: number;
  stats: Stats;
}

export interface Bucket {
  start: string;
  count: number;
  by?: Record<string, number>;
}

export interface HistogramAnswer {
  interval: string;
  interval_ms: number;
  buckets: Bucket[];
  stats: Stats;
}

export interface FieldInfo {
  name: string;
  types: string[];
  count: number;
}

export interface FieldsAnswer {
  fields: FieldInfo[];
  rows: number;
  sampled: boolean;
}

export interface FieldTopValue {
  value: FieldValue;
  count: number;
}

export interface ValuesAnswer {
  field: string;
  values: FieldTopValue[];
  rows: number;
  missing: number;
  distinct: number;
}

/** What to search: one expression and a closed time range, already resolved from relative words. */
export interface Scope {
  query: string;
  startMs: number;
  endMs: number;
}

export type Order = 'asc' | 'desc';
