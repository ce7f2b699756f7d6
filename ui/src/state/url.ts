/**
 * The address is the state of the page: query, filters, time, columns, order, view.
 *
 * Owns: reading and writing the address, and telling the page when it changed.
 * Invariant: defaults are left out, so a plain address means the plain page.
 */
import { useSyncExternalStore } from 'react';
import type { Order } from '../api/types';
import { decodeFilter, encodeFilter, type Filter } from '../query/filters';
import { DEFAULT_RANGE } from '../time/range';

export interface SearchState {
  query: string;
  filters: Filter[];
  from: string;
  to: string;
  columns: string[];
  order: Order;
  wrap: boolean;
  live: boolean;
  /** Seconds between automatic runs; 0 is off. */
  refreshS: number;
  /** The record whose details are open. */
  record: string | null;
  /** Records asked for at a time. */
  limit: number;
  room: Room;
  /** The part of the room of alerts that is shown. */
  tab: string;
  /** The rule that is edited; empty for a new one. */
  rule: string | null;
}

const ROOMS = ['search', 'alerts', 'pipeline'] as const;
export type Room = (typeof ROOMS)[number];

export const DEFAULT_COLUMNS = ['level', '_origin', 'message'];
export const REFRESH_CHOICES_S = [0, 5, 10, 30, 60];
const DEFAULT_TAB = 'rules';
const TABS = [DEFAULT_TAB, 'silences', 'history'];
/** First rows come fast with small pages; scrolling asks for the next early enough. */
export const DEFAULT_LIMIT = 300;
const LIMIT_MAX = 10_000;

export function parseState(search: string): SearchState {
  const p = new URLSearchParams(search);
  const columns = p.get('cols');
  const refreshS = Number(p.get('refresh') ?? 0);
  const limit = Math.trunc(Number(p.get('limit') ?? DEFAULT_LIMIT));
  return {
    query: p.get('q') ?? '',
    filters: p
      .getAll('f')
      .map(decodeFilter)
      .filter((filter) => filter !== null),
    from: p.get('from') ?? DEFAULT_RANGE.from,
    to: p.get('to') ?? DEFAULT_RANGE.to,
    columns: columns ? columns.split(',').map(decodeColumn).filter(Boolean) : DEFAULT_COLUMNS,
    order: p.get('order') === 'asc' ? 'asc' : 'desc',
    wrap: p.get('wrap') === '1',
    live: p.get('live') === '1',
    refreshS: REFRESH_CHOICES_S.includes(refreshS) ? refreshS : 0,
    record: p.get('id'),
    limit: limit >= 1 && limit <= LIMIT_MAX ? limit : DEFAULT_LIMIT,
    room: ROOMS.find((room) => room === p.get('room')) ?? 'search',
    tab: TABS.find((tab) => tab === p.get('tab')) ?? DEFAULT_TAB,
    rule: p.get('rule'),
  };
}

export function formatState(state: SearchState): string {
  const p = new URLSearchParams();
  if (state.query) p.set('q', state.query);
  for (const filter of state.filters) p.append('f', encodeFilter(filter));
  if (state.from !== DEFAULT_RANGE.from) p.set('from', state.from);
  if (state.to !== DEFAULT_RANGE.to) p.set('to', state.to);
  const columns = state.columns.map((name) => name.replaceAll('%', '%25').replaceAll(',', '%2C')).join(',');
  if (columns !== DEFAULT_COLUMNS.join(',')) p.set('cols', columns);
  if (state.order === 'asc') p.set('order', 'asc');
  if (state.wrap) p.set('wrap', '1');
  if (state.live) p.set('live', '1');
  if (state.refreshS) p.set('refresh', String(state.refreshS));
  if (state.record) p.set('id', state.record);
  if (state.limit !== DEFAULT_LIMIT) p.set('limit', String(state.limit));
  if (state.room !== 'search') p.set('room', state.room);
  if (state.tab !== DEFAULT_TAB) p.set('tab', state.tab);
  if (state.rule !== null) p.set('rule', state.rule);
  const text = p.toString();
  return text ? `?${text}` : '';
}

function decodeColumn(text: string): string {
  return text.replaceAll('%2C', ',').replaceAll('%25', '%');
}

export type Navigate = (patch: Partial<SearchState>, how?: { replace?: boolean }) => void;

const listeners = new Set<() => void>();
let cachedSearch: string | null = null;
let cachedState: SearchState;

function snapshot(): SearchState {
  if (cachedSearch !== location.search) {
    cachedSearch = location.search;
    cachedState = parseState(location.search);
  }
  return cachedState;
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener('popstate', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('popstate', listener);
  };
}

/** Writes the address; a new history entry unless told otherwise, so that "back" undoes it. */
export const navigate: Navigate = (patch, how) => {
  const search = formatState({ ...snapshot(), ...patch });
  if (search === location.search) return;
  const url = location.pathname + search;
  if (how?.replace) history.replaceState(null, '', url);
  else history.pushState(null, '', url);
  for (const listener of listeners) listener();
};

export function useUrlState(): SearchState {
  return useSyncExternalStore(subscribe, snapshot);
}

/** The address of this page with some state changed; for links that are copied. */
export function linkTo(patch: Partial<SearchState>): string {
  return location.origin + location.pathname + formatState({ ...snapshot(), ...patch });
}
