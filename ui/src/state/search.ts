/**
 * The requests of the search page, rows first.
 *
 * Owns: resolving the address to one run with fixed times, and the order of requests.
 * Invariant: all requests of a run ask for the same scope; a newer run cancels what is under way.
 */
import { keepPreviousData, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { ApiError, countRecords, histogram, listFields, searchPage, serverNow } from '../api/client';
import type { LogRecord, Order, Scope, SearchAnswer } from '../api/types';
import { combine } from '../query/filters';
import { namedFields, nearestName } from '../query/names';
import { zoneName } from '../time/format';
import { resolveRange, type TimeZone } from '../time/range';
import type { SearchState } from './url';

export interface Run {
  scope: Scope;
  order: Order;
  limit: number;
  /** Same for runs that ask the same question at different times. */
  question: string;
  /** Different for every run. */
  key: string;
}

/** About how many bars; the server picks a round interval. */
const HISTOGRAM_BUCKETS = 80;
const ALL_TIME: Omit<Scope, 'query'> = { startMs: 0, endMs: Date.UTC(2200, 0, 1) };

export function useRun(state: SearchState, zone: TimeZone): { run: Run; rerun: () => void } {
  const [tick, setTick] = useState(0);
  const rerun = useCallback(() => setTick((n) => n + 1), []);
  const { from, to, order, limit, refreshS, live } = state;
  const query = combine(state.query, state.filters);
  const run = useMemo<Run>(() => {
    const scope = { query, ...resolveRange({ from, to }, serverNow(), zone) };
    const question = JSON.stringify([query, from, to, order]);
    return { scope, order, limit, question, key: `${tick}|${limit}|${zone}|${question}` };
  }, [query, from, to, order, limit, zone, tick]);
  useEffect(() => {
    if (!refreshS || live) return;
    const timer = setInterval(() => {
      if (!document.hidden) rerun();
    }, refreshS * 1000);
    return () => clearInterval(timer);
  }, [refreshS, live, rerun]);
  return { run, rerun };
}

/** A query at fault fails the same way again; a network that blinked may not. */
export function shouldRetry(failures: number, error: Error): boolean {
  return !(error instanceof ApiError) && failures < 2;
}

export function useRows(run: Run, enabled: boolean) {
  return useInfiniteQuery({
    queryKey: ['rows', run.key, run.scope],
    queryFn: ({ pageParam, signal }) =>
      searchPage(run.scope, { order: run.order, limit: run.limit, cursor: pageParam }, signal),
    initialPageParam: null as string | null,
    getNextPageParam: (page) => page.cursor,
    placeholderData: keepPreviousData,
    // Records are never the same object twice; comparing them all would only cost time.
    structuralSharing: false,
    enabled,
  });
}

/** Whether asking for more led nowhere: the same question would have the same answer. */
export function isStuck(pages: readonly SearchAnswer[] = [], asked: readonly unknown[] = []): boolean {
  const last = pages.at(-1);
  return !!last?.cursor && last.records.length === 0 && last.cursor === asked.at(-1);
}

export type RowsQuery = ReturnType<typeof useRows>;

export function useFlatRows(query: RowsQuery): readonly LogRecord[] {
  const pages = query.data?.pages;
  return useMemo(() => pages?.flatMap((page) => page.records) ?? [], [pages]);
}

export function useHistogram(run: Run, zone: TimeZone, enabled: boolean) {
  return useQuery({
    queryKey: ['histogram', run.key, run.scope],
    queryFn: ({ signal }) =>
      histogram(run.scope, { buckets: HISTOGRAM_BUCKETS, by: 'level', timeZone: zoneName(zone) }, signal),
    placeholderData: keepPreviousData,
    enabled,
  });
}

export function useFields(run: Run, enabled: boolean) {
  return useQuery({
    queryKey: ['fields', run.key, run.scope],
    queryFn: ({ signal }) => listFields(run.scope, signal),
    placeholderData: keepPreviousData,
    enabled,
  });
}

/** A field that the query names and no record has, and the name that was probably meant. */
export interface MissingField {
  name: string;
  near: string | null;
}

export type Emptiness =
  | { kind: 'filter'; inRange: number; missing: MissingField[] }
  | { kind: 'range'; newest: string }
  | { kind: 'store' };

async function missingFields(scope: Scope, signal: AbortSignal): Promise<MissingField[]> {
  const asked = namedFields(scope.query).map(async (name) => {
    const { count, stats } = await countRecords({ ...scope, query: `${name}: *` }, signal);
    // What was not looked at may have it.
    return count > 0 || stats.partial ? [] : [name];
  });
  const names = (await Promise.all(asked)).flat();
  if (names.length === 0) return [];
  const { fields } = await listFields({ ...scope, query: '' }, signal);
  const known = fields.map((field) => field.name);
  return names.map((name) => ({ name, near: nearestName(name, known) }));
}

/** Why an answer is empty; asked only when one is. */
export function useEmptiness(run: Run, enabled: boolean) {
  return useQuery({
    queryKey: ['emptiness', run.key, run.scope],
    queryFn: async ({ signal }): Promise<Emptiness> => {
      const { count } = await countRecords({ ...run.scope, query: '' }, signal);
      if (count > 0)
        return { kind: 'filter', inRange: count, missing: await missingFields(run.scope, signal) };
      const all = await searchPage({ query: '', ...ALL_TIME }, { order: 'desc', limit: 1 }, signal);
      const newest = all.records[0];
      return newest ? { kind: 'range', newest: newest.timestamp } : { kind: 'store' };
    },
    enabled,
  });
}
