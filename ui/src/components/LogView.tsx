import { memo, useEffect, useRef, type RefObject } from 'react';
import type { LogRecord } from '../api/types';
import { columnName, useMessages } from '../i18n';
import { LogList, type ListCallbacks } from '../list/log-list';
import { setPrefs, getPrefs, usePrefs } from '../state/prefs';

export interface ListView {
  columns: string[];
  wrap: boolean;
  order: 'asc' | 'desc';
  withDate: boolean;
  pattern: RegExp | null;
  selected: string | null;
  onOpen: (record: LogRecord) => void;
  onSort: () => void;
  onRemoveColumn: (column: string) => void;
}

const ROW_HEIGHT_PX = { compact: 24, comfortable: 32 } as const;

/** Ties a `LogList` to an element; what changes seldom is handed over by effects, rows are not React's. */
export function useLogList(
  host: RefObject<HTMLDivElement | null>,
  handle: RefObject<LogList | null>,
  view: ListView,
  extra: Pick<ListCallbacks, 'onNearEnd' | 'onBottom'>,
): void {
  const t = useMessages();
  const prefs = usePrefs();
  const callbacks = useRef({ ...view, ...extra });
  useEffect(() => {
    callbacks.current = { ...view, ...extra };
  });

  useEffect(() => {
    if (!host.current) return;
    const texts = {
      list: '',
      columnName: (name: string) => name,
      sort: '',
      removeColumn: (name: string) => name,
    };
    const list = new LogList(
      host.current,
      {
        onOpen: (record) => callbacks.current.onOpen(record),
        onNearEnd: () => callbacks.current.onNearEnd(),
        onBottom: (atBottom) => callbacks.current.onBottom(atBottom),
        onSort: () => callbacks.current.onSort(),
        onRemoveColumn: (column) => callbacks.current.onRemoveColumn(column),
        onColumnWidth: (column, width) =>
          setPrefs({ columnWidths: { ...getPrefs().columnWidths, [column]: width } }),
      },
      texts,
    );
    handle.current = list;
    return () => {
      handle.current = null;
      list.destroy();
    };
  }, [host, handle]);

  useEffect(() => {
    handle.current?.setTexts({
      list: t.rows,
      columnName: (column) => columnName(t, column),
      sort: t.sortChange,
      removeColumn: t.columnRemove,
    });
  }, [handle, t]);

  const columnsKey = view.columns.join('\n');
  const { wrap, order, withDate } = view;
  useEffect(() => {
    handle.current?.setLayout({
      columns: columnsKey.split('\n'),
      widths: prefs.columnWidths,
      wrap,
      order,
      withDate,
      rowHeightPx: ROW_HEIGHT_PX[prefs.density],
      timeZone: prefs.timeZone,
    });
  }, [handle, columnsKey, wrap, order, withDate, prefs.columnWidths, prefs.density, prefs.timeZone]);

  useEffect(() => handle.current?.setPattern(view.pattern), [handle, view.pattern]);
  useEffect(() => handle.current?.select(view.selected), [handle, view.selected]);
}

export interface LogViewProps extends ListView {
  rows: readonly LogRecord[];
  /** Changes with the question; the same question asked again keeps the place. */
  question: string;
  isStale: boolean;
  handle: RefObject<LogList | null>;
  onNearEnd: () => void;
}

const ignore = () => {};

/** The rows of a search. */
export const LogView = memo(function LogView(props: LogViewProps) {
  const { rows, question, isStale, handle, onNearEnd } = props;
  const host = useRef<HTMLDivElement>(null);
  useLogList(host, handle, props, { onNearEnd, onBottom: ignore });
  const shown = useRef<string | null>(null);
  useEffect(() => {
    if (isStale) return;
    const sameQuestion = shown.current === question;
    handle.current?.setRows(rows, sameQuestion);
    if (!sameQuestion) handle.current?.revealSelected();
    shown.current = question;
  }, [handle, rows, question, isStale]);
  // The list sets classes of its own on its element, so React sets none there.
  return (
    <div className={isStale ? 'is-stale' : undefined}>
      <div ref={host} />
    </div>
  );
});
