/**
 * The list of log rows: draws only what is visible and uses row elements again.
 *
 * Owns: rows, scrolling, selection by keyboard, column widths while they are dragged.
 * Does not own: fetching, the address, any state of the page. It reports through callbacks.
 * Invariant: nothing of the page renders while the list scrolls.
 */
import type { LogRecord } from '../api/types';
import { rowTime } from '../time/format';
import type { TimeZone } from '../time/range';
import { levelName, messageText, originText, renderMessage, valueText } from './cells';
import { ListHeader } from './list-header';
import { RowHeights } from './row-heights';

export interface ListLayout {
  columns: string[];
  widths: Record<string, number>;
  wrap: boolean;
  rowHeightPx: number;
  timeZone: TimeZone;
  withDate: boolean;
  order: 'asc' | 'desc';
}

export interface ListTexts {
  list: string;
  columnName: (column: string) => string;
  sort: string;
  removeColumn: (name: string) => string;
}

export interface ListCallbacks {
  onOpen: (record: LogRecord) => void;
  /** The user nears the last row: more may be fetched. */
  onNearEnd: () => void;
  /** Whether the last row is in view; live tail pauses on false. */
  onBottom: (atBottom: boolean) => void;
  onSort: () => void;
  onRemoveColumn: (column: string) => void;
  onColumnWidth: (column: string, widthPx: number) => void;
}

/** Rows drawn beyond the edges, so that a fast wheel finds them ready. */
const OVERSCAN_ROWS = 8;
/** More is fetched when fewer rows than this are below. */
const NEAR_END_ROWS = 120;
const BOTTOM_SLACK_PX = 4;

interface Row {
  element: HTMLDivElement;
  cells: HTMLElement[];
  index: number;
  record: LogRecord | null;
}

const DEFAULT_LAYOUT: ListLayout = {
  columns: [],
  widths: {},
  wrap: false,
  rowHeightPx: 24,
  timeZone: 'local',
  withDate: false,
  order: 'desc',
};

let listCount = 0;

export class LogList {
  private readonly body = document.createElement('div');
  private readonly header: ListHeader;
  private readonly mounted = new Map<number, Row>();
  private readonly free: Row[] = [];
  private readonly heights = new RowHeights();
  private readonly resizeObserver: ResizeObserver;
  private readonly idPrefix = `log-${(listCount += 1)}`;
  private rows: readonly LogRecord[] = [];
  private layout = DEFAULT_LAYOUT;
  private pattern: RegExp | null = null;
  private selectedId: string | null = null;
  /** Records from this index on are tinted as new. */
  private freshFrom = Infinity;
  private atBottom = false;
  private viewportPx = 0;
  private widthPx = 0;

  constructor(
    private readonly root: HTMLElement,
    private readonly callbacks: ListCallbacks,
    private texts: ListTexts,
  ) {
    root.classList.add('loglist');
    root.setAttribute('role', 'grid');
    root.tabIndex = 0;
    this.header = new ListHeader(callbacks, texts);
    this.body.className = 'loglist-body';
    this.body.setAttribute('role', 'rowgroup');
    root.replaceChildren(this.header.element, this.body);
    root.addEventListener('scroll', this.onScroll, { passive: true });
    root.addEventListener('keydown', this.onKey);
    this.body.addEventListener('click', this.onClick);
    this.resizeObserver = new ResizeObserver(() => this.measureViewport());
    this.resizeObserver.observe(root);
    this.setTexts(texts);
    this.measureViewport();
  }

  destroy(): void {
    this.resizeObserver.disconnect();
    this.root.removeEventListener('scroll', this.onScroll);
    this.root.removeEventListener('keydown', this.onKey);
    this.root.replaceChildren();
  }

  get length(): number {
    return this.rows.length;
  }

  setTexts(texts: ListTexts): void {
    this.texts = texts;
    this.root.setAttribute('aria-label', texts.list);
    this.header.setTexts(texts);
  }

  setLayout(layout: ListLayout): void {
    this.layout = layout;
    this.header.setLayout(layout);
    this.root.classList.toggle('is-wrapped', layout.wrap);
    this.root.style.setProperty('--row-height', `${layout.rowHeightPx}px`);
    for (const row of [...this.mounted.values(), ...this.free]) row.element.remove();
    this.mounted.clear();
    this.free.length = 0;
    this.heights.reset(this.rows.length, layout.rowHeightPx);
    this.draw();
  }

  setPattern(pattern: RegExp | null): void {
    this.pattern = pattern;
    this.refill();
  }

  /** Shows other rows. `keepPlace` leaves the scroll position (more rows of the same search). */
  setRows(rows: readonly LogRecord[], keepPlace: boolean): void {
    this.rows = rows;
    this.freshFrom = Infinity;
    if (keepPlace) this.heights.resize(rows.length);
    else this.heights.reset(rows.length, this.layout.rowHeightPx);
    if (!keepPlace) this.root.scrollTop = 0;
    this.refill();
  }

  /** Adds rows below; the view moves along when `follow`. Keeps at most `max` rows. */
  append(added: readonly LogRecord[], max: number, follow: boolean): void {
    const all = [...this.rows, ...added];
    const dropped = Math.max(0, all.length - max);
    this.rows = dropped ? all.slice(dropped) : all;
    this.freshFrom = this.rows.length - added.length;
    if (dropped) this.heights.reset(this.rows.length, this.layout.rowHeightPx);
    else this.heights.resize(this.rows.length);
    for (const row of this.mounted.values()) row.record = null;
    // Not drawn before scrolling: rows that come in below must not count as scrolling away.
    if (follow) this.scrollToBottom();
    else this.draw();
  }

  scrollToBottom(): void {
    this.body.style.height = `${this.heights.top(this.rows.length)}px`;
    this.root.scrollTop = this.root.scrollHeight;
    this.draw();
    // Wrapped rows are known exactly only after they were drawn.
    this.root.scrollTop = this.root.scrollHeight;
    this.draw();
  }

  select(id: string | null): void {
    this.selectedId = id;
    for (const row of this.mounted.values()) this.markSelected(row);
    this.announceActive();
  }

  /** Selects the row `delta` away and reports it; false when there is none. */
  move(delta: number): boolean {
    const current = this.selectedIndex();
    const next =
      current < 0 ? this.firstVisible() : Math.min(Math.max(current + delta, 0), this.rows.length - 1);
    const record = this.rows[next];
    if (!record || (next === current && delta !== 0)) return false;
    this.select(record._id);
    this.reveal(next);
    this.callbacks.onOpen(record);
    return true;
  }

  /** Scrolls to the selected row where it is among the rows. */
  revealSelected(): void {
    const index = this.selectedIndex();
    if (index >= 0) this.reveal(index);
  }

  focus(): void {
    this.root.focus({ preventScroll: true });
  }

  selectedIndex(): number {
    if (this.selectedId === null) return -1;
    for (const [index, row] of this.mounted) if (row.record?._id === this.selectedId) return index;
    return this.rows.findIndex((record) => record._id === this.selectedId);
  }

  private firstVisible(): number {
    return this.heights.indexAt(this.root.scrollTop);
  }

  private reveal(index: number): void {
    const top = this.heights.top(index);
    const bottom = this.heights.top(index + 1);
    const room = this.viewportPx - this.header.heightPx;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (bottom > this.root.scrollTop + room) this.root.scrollTop = bottom - room;
    this.draw();
  }

  private measureViewport(): void {
    const { clientHeight, clientWidth } = this.root;
    // Another width breaks wrapped lines elsewhere, so they are measured again.
    if (clientHeight === this.viewportPx && (clientWidth === this.widthPx || !this.layout.wrap)) return;
    this.viewportPx = clientHeight;
    this.widthPx = clientWidth;
    this.draw();
  }

  private readonly onScroll = (): void => {
    this.draw();
  };

  /** Fills all mounted rows anew, then draws. */
  private refill(): void {
    for (const row of this.mounted.values()) row.record = null;
    this.draw();
  }

  private draw(): void {
    const { scrollTop } = this.root;
    const count = this.rows.length;
    this.body.style.height = `${this.heights.top(count)}px`;
    const first = Math.max(0, this.heights.indexAt(scrollTop) - OVERSCAN_ROWS);
    const last = Math.min(count - 1, this.heights.indexAt(scrollTop + this.viewportPx) + OVERSCAN_ROWS);
    for (const [index, row] of this.mounted) {
      if (index < first || index > last) {
        this.mounted.delete(index);
        this.free.push(row);
      }
    }
    for (let index = first; index <= last; index += 1) this.place(index);
    for (const row of this.free) if (row.index >= 0) this.hide(row);
    if (this.layout.wrap) this.measureRows();
    this.reportEdges(last, scrollTop);
  }

  private reportEdges(last: number, scrollTop: number): void {
    const count = this.rows.length;
    if (count > 0 && count - last < NEAR_END_ROWS) this.callbacks.onNearEnd();
    const bottom = this.heights.top(count) - (this.viewportPx - this.header.heightPx);
    const atBottom = scrollTop >= bottom - BOTTOM_SLACK_PX;
    if (atBottom !== this.atBottom) {
      this.atBottom = atBottom;
      this.callbacks.onBottom(atBottom);
    }
  }

  private hide(row: Row): void {
    row.index = -1;
    row.record = null;
    row.element.hidden = true;
  }

  private place(index: number): void {
    const record = this.rows[index];
    if (!record) return;
    let row = this.mounted.get(index);
    if (!row) {
      row = this.free.pop() ?? this.createRow();
      this.mounted.set(index, row);
      row.element.hidden = false;
      row.record = null;
    }
    if (row.index !== index) {
      row.index = index;
      row.element.setAttribute('aria-rowindex', String(index + 2));
      row.element.id = `${this.idPrefix}-${index}`;
    }
    row.element.style.transform = `translateY(${this.heights.top(index)}px)`;
    if (row.record !== record) this.fill(row, record);
  }

  private createRow(): Row {
    const element = document.createElement('div');
    element.className = 'logrow';
    element.setAttribute('role', 'row');
    const cells = ['timestamp', ...this.layout.columns].map((column) => {
      const cell = document.createElement('div');
      cell.className = `logcell logcell-${/^\w+$/.test(column) ? column : 'field'}`;
      cell.setAttribute('role', 'gridcell');
      return cell;
    });
    element.append(...cells);
    this.body.append(element);
    return { element, cells, index: -1, record: null };
  }

  private fill(row: Row, record: LogRecord): void {
    const { layout } = this;
    row.record = record;
    const level = levelName(record.level);
    row.element.className = `logrow level-${level}${row.index >= this.freshFrom ? ' is-fresh' : ''}`;
    this.markSelected(row);
    const time = row.cells[0];
    if (time) time.textContent = rowTime(record.timestamp, layout.timeZone, layout.withDate);
    layout.columns.forEach((column, i) => {
      const cell = row.cells[i + 1];
      if (!cell) return;
      if (column === 'message') renderMessage(cell, messageText(record), this.pattern, layout.wrap);
      else if (column === '_origin') cell.textContent = originText(record);
      else cell.textContent = valueText(record[column]).slice(0, 300);
    });
  }

  private markSelected(row: Row): void {
    const selected = row.record !== null && row.record._id === this.selectedId;
    row.element.setAttribute('aria-selected', String(selected));
  }

  private announceActive(): void {
    const index = this.selectedIndex();
    const mounted = this.mounted.get(index);
    if (mounted) this.root.setAttribute('aria-activedescendant', mounted.element.id);
    else this.root.removeAttribute('aria-activedescendant');
  }

  private measureRows(): void {
    let lowest = Infinity;
    // All reads before all writes: one layout for the whole pass.
    const measured = [...this.mounted].map(([index, row]) => [index, row.element.offsetHeight] as const);
    for (const [index, height] of measured)
      if (this.heights.set(index, height)) lowest = Math.min(lowest, index);
    if (lowest === Infinity) return;
    this.body.style.height = `${this.heights.top(this.rows.length)}px`;
    for (const [index, row] of this.mounted) {
      if (index > lowest) row.element.style.transform = `translateY(${this.heights.top(index)}px)`;
    }
  }

  private readonly onClick = (event: MouseEvent): void => {
    // Somebody who marks text to copy it does not want the details.
    if (window.getSelection()?.isCollapsed === false) return;
    const element = (event.target as Element).closest('.logrow');
    for (const row of this.mounted.values()) {
      if (row.element === element && row.record) {
        this.select(row.record._id);
        this.callbacks.onOpen(row.record);
        return;
      }
    }
  };

  private readonly onKey = (event: KeyboardEvent): void => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.root) return;
    const page = Math.max(1, Math.floor(this.viewportPx / this.layout.rowHeightPx) - 2);
    const delta = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page }[event.key];
    if (delta !== undefined && (this.selectedId !== null || Math.abs(delta) === 1)) this.move(delta);
    else if (event.key === 'Home') this.root.scrollTop = 0;
    else if (event.key === 'End') this.scrollToBottom();
    else if (event.key === 'Enter') this.move(0);
    else return;
    event.preventDefault();
  };
}
