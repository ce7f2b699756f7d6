/** The search page: ties the address, the requests and the parts of the page together. */
import { useQueryClient } from '@tanstack/react-query';
import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { ApiError, serverNow } from '../api/client';
import type { LogRecord } from '../api/types';
import { useMessages } from '../i18n';
import type { LogList } from '../list/log-list';
import { withFilter, type Filter } from '../query/filters';
import { messageTerms, termPattern } from '../query/terms';
import { isTyping } from '../state/keys';
import { setPrefs, usePrefs } from '../state/prefs';
import { isStuck, useFields, useFlatRows, useHistogram, useRows, useRun } from '../state/search';
import { DEFAULT_COLUMNS, DEFAULT_LIMIT, navigate, useUrlState, type SearchState } from '../state/url';
import { absoluteRange, resolveRange, type TimeRange } from '../time/range';
import { Details } from './Details';
import { EmptyState, Failure } from './EmptyState';
import { FieldSidebar } from './FieldSidebar';
import { FilterPills } from './FilterPills';
import { Histogram } from './Histogram';
import { Icon } from './Icon';
import { IconButton } from './IconButton';
import { LiveView } from './LiveView';
import { LogView, type ListView } from './LogView';
import { QueryBar } from './QueryBar';
import { ResultsBar } from './ResultsBar';
import { TimePicker } from './TimePicker';

const DAY_MS = 86_400_000;

export function SearchPage() {
  const t = useMessages();
  const state = useUrlState();
  const prefs = usePrefs();
  const client = useQueryClient();
  const { run, rerun } = useRun(state, prefs.timeZone);
  const rowsQuery = useRows(run, !state.live);
  const rows = useFlatRows(rowsQuery);
  // Rows first: nothing else is asked until they are there.
  const rowsReady = rowsQuery.isSuccess && !rowsQuery.isPlaceholderData;
  const bars = useHistogram(run, prefs.timeZone, rowsReady && prefs.histogram && !state.live);
  const fields = useFields(run, (rowsReady || state.live) && prefs.sidebar);
  const list = useRef<LogList | null>(null);
  const opened = useRef<LogRecord | null>(null);
  const zoom = useZoom(run.scope);

  const filter = useCallback(
    (added: Filter) => navigate({ filters: withFilter(state.filters, added) }),
    [state.filters],
  );
  const filterFromDetails = useCallback(
    (added: Filter) => navigate({ filters: withFilter(state.filters, added), ...uncovered() }),
    [state.filters],
  );
  const toggleColumn = useCallback((column: string) => toggle(state.columns, column), [state.columns]);
  const open = useCallback((record: LogRecord) => {
    opened.current = record;
    navigate({ record: record._id }, { replace: true });
  }, []);
  const close = useCallback(() => {
    navigate({ record: null }, { replace: true });
    list.current?.focus();
  }, []);
  const move = useCallback((delta: number) => void list.current?.move(delta), []);
  const fetchMore = useFetchMore(rowsQuery);
  const stuck = isStuck(rowsQuery.data?.pages, rowsQuery.data?.pageParams);
  usePageKeys(move, close);

  const pattern = useMemo(() => termPattern(messageTerms(state.query)), [state.query]);
  const view: ListView = {
    columns: state.columns,
    wrap: state.wrap,
    order: state.live ? 'asc' : state.order,
    withDate: state.live ? false : run.scope.endMs - run.scope.startMs > DAY_MS,
    pattern,
    selected: state.record,
    onOpen: open,
    onSort: state.live ? ignore : changeOrder,
    onRemoveColumn: toggleColumn,
  };
  const total = prefs.histogram && bars.data && !bars.isPlaceholderData ? sumOf(bars.data.buckets) : null;
  const error = rowsQuery.error;
  const queryError = error instanceof ApiError && error.isInvalid ? error : null;

  return (
    <main className="search">
      <div className="searchbar">
        <QueryBar
          query={state.query}
          run={run}
          isRunning={rowsQuery.isFetching && !rowsQuery.isFetchingNextPage}
          onRun={(query) => (query === state.query ? rerun() : navigate({ query }))}
          onCancel={() => void client.cancelQueries({ queryKey: ['rows'] })}
        />
        <TimePicker
          range={state}
          shown={state.live ? resolveRange(state, serverNow(), prefs.timeZone) : run.scope}
          refreshS={state.refreshS}
          onRange={({ from, to }) => navigate({ from, to, live: false })}
          onRefresh={(refreshS) => navigate({ refreshS }, { replace: true })}
        />
        <IconButton icon="refresh" label={t.refreshNow} onClick={rerun} disabled={state.live} />
        <button
          type="button"
          className={state.live ? 'button live-button is-on' : 'button live-button'}
          aria-pressed={state.live}
          title={state.live ? t.liveStop : t.liveStart}
          onClick={() => navigate({ live: !state.live, record: null })}
        >
          <Icon name={state.live ? 'pause' : 'play'} />
          {t.live}
        </button>
      </div>
      {queryError && <QueryError error={queryError} />}
      <FilterPills filters={state.filters} onChange={(filters) => navigate({ filters })} />
      <div className="workspace">
        {prefs.sidebar && (
          <FieldSidebar
            run={run}
            answer={fields.data}
            columns={state.columns}
            onFilter={filter}
            onToggleColumn={toggleColumn}
            onHide={hideSidebar}
          />
        )}
        <section className="results" aria-label={t.rows}>
          {prefs.histogram && !state.live && !queryError && (
            <Histogram
              run={run}
              answer={bars.data}
              isStale={bars.isPlaceholderData || !bars.data}
              canUndo={zoom.canUndo}
              onBrush={zoom.brush}
              onUndo={zoom.undo}
              onZoomOut={zoom.out}
              onLevel={(word) => filter({ field: 'level', value: word, negated: false })}
              onHide={hideHistogram}
            />
          )}
          {!state.live && !queryError && (
            <ResultsBar
              state={state}
              run={run}
              loaded={rows.length}
              total={total}
              stats={rowsQuery.data?.pages[0]?.stats}
            />
          )}
          <div className="listroom">
            {rowsQuery.isFetching && <div className="progress" role="progressbar" aria-label={t.loading} />}
            {state.live ? (
              <LiveView {...view} query={run.scope.query} handle={list} />
            ) : queryError ? (
              <p className="empty">{t.errorQueryTitle}</p>
            ) : error && !rowsQuery.isFetchNextPageError ? (
              <Failure error={error} onRetry={rerun} />
            ) : rowsReady && rows.length === 0 && rowsQuery.hasNextPage ? (
              <div className="empty" data-kind="partial">
                <h2>{t.emptyPartialTitle}</h2>
                <p>{t.emptyPartialText}</p>
                <button
                  type="button"
                  className="button"
                  disabled={rowsQuery.isFetching}
                  onClick={() => void rowsQuery.fetchNextPage()}
                >
                  {t.emptyPartialMore}
                </button>
              </div>
            ) : rowsReady && rows.length === 0 ? (
              <EmptyState
                run={run}
                hasFilters={state.filters.length > 0}
                onRange={goTo}
                onClearFilters={() => navigate({ filters: [] })}
              />
            ) : (
              <LogView
                {...view}
                rows={rows}
                question={run.question}
                isStale={rowsQuery.isPlaceholderData}
                handle={list}
                onNearEnd={fetchMore}
              />
            )}
            {rows.length > 0 && rowsQuery.isSuccess && stuck && (
              <p className="notice more-failed">
                {t.emptyPartialText}{' '}
                <button type="button" className="button" onClick={() => void rowsQuery.fetchNextPage()}>
                  {t.emptyPartialMore}
                </button>
              </p>
            )}
            {rowsQuery.isFetchNextPageError && (
              <p className="notice is-error more-failed">
                {t.moreFailed}{' '}
                <button type="button" className="button" onClick={() => void rowsQuery.fetchNextPage()}>
                  {t.retry}
                </button>
              </p>
            )}
            {rowsQuery.isFetchingNextPage && <p className="more-loading">{t.loadingMore}</p>}
          </div>
        </section>
        {state.record && (
          <Details
            id={state.record}
            listed={opened.current?._id === state.record ? opened.current : null}
            columns={state.columns}
            onMove={move}
            onClose={close}
            onFilter={filterFromDetails}
            onSearch={searchAlone}
            onToggleColumn={toggleColumn}
          />
        )}
      </div>
    </main>
  );
}

/** The live view has one order: the newest below. */
const ignore = () => {};

const changeOrder = () => {
  const current = new URLSearchParams(location.search).get('order');
  navigate({ order: current === 'asc' ? 'desc' : 'asc' });
};
const searchAlone = (only: Filter) =>
  navigate({ query: '', filters: [only], limit: DEFAULT_LIMIT, ...uncovered() });
const hideSidebar = () => setPrefs({ sidebar: false });
const hideHistogram = () => setPrefs({ histogram: false });
const goTo = (range: TimeRange) => navigate({ from: range.from, to: range.to });

/** Where details cover the rows (`panels.css`), they make room for the answer. */
function uncovered(): Partial<SearchState> {
  return window.matchMedia('(width < 900px)').matches ? { record: null } : {};
}

function sumOf(buckets: readonly { count: number }[]): number {
  return buckets.reduce((sum, bucket) => sum + bucket.count, 0);
}

/** A new column goes before the message, which takes the rest of the width. */
function toggle(columns: readonly string[], column: string): void {
  const without = columns.filter((name) => name !== column);
  if (without.length < columns.length) {
    navigate({ columns: without.length > 0 ? without : DEFAULT_COLUMNS });
    return;
  }
  const at =
    column === 'message' || !columns.includes('message') ? columns.length : columns.indexOf('message');
  navigate({ columns: [...columns.slice(0, at), column, ...columns.slice(at)] });
}

function useFetchMore(query: ReturnType<typeof useRows>): () => void {
  const latest = useRef(query);
  useEffect(() => {
    latest.current = query;
  });
  return useCallback(() => {
    const { data, hasNextPage, isFetching, isFetchNextPageError, isPlaceholderData, fetchNextPage } =
      latest.current;
    if (!hasNextPage || isFetching || isFetchNextPageError || isPlaceholderData) return;
    // Nobody but a person asks the same again.
    if (!isStuck(data?.pages, data?.pageParams)) void fetchNextPage();
  }, []);
}

/** Zooming into the histogram and back out again. */
function useZoom(scope: { startMs: number; endMs: number }) {
  const [stack, setStack] = useState<TimeRange[]>([]);
  const { startMs, endMs } = scope;
  const brush = useCallback((fromMs: number, toMs: number) => {
    const p = new URLSearchParams(location.search);
    const before = { from: p.get('from') ?? 'now-1h', to: p.get('to') ?? 'now' };
    setStack((old) => [...old, before]);
    navigate(absoluteRange(fromMs, toMs));
  }, []);
  const undo = useCallback(() => {
    const before = stack.at(-1);
    if (!before) return;
    setStack(stack.slice(0, -1));
    navigate(before);
  }, [stack]);
  const out = useCallback(() => {
    const half = (endMs - startMs) / 2;
    navigate(absoluteRange(Math.round(startMs - half), Math.round(endMs + half)));
  }, [startMs, endMs]);
  return { brush, undo, out, canUndo: stack.length > 0 };
}

function usePageKeys(move: (delta: number) => void, close: () => void): void {
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (isTyping(event)) return;
      if (event.key === 'j') move(1);
      else if (event.key === 'k') move(-1);
      else if (event.key === 'Escape') close();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, [move, close]);
}

function QueryError({ error }: { error: ApiError }) {
  return (
    <div className="query-error" role="alert">
      {error.caret && <pre>{error.caret}</pre>}
      <p>{error.message}</p>
    </div>
  );
}
