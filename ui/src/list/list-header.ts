/** The head of the list: names, order, widths. Widths live in CSS variables, so rows follow without being touched. */
import type { ListCallbacks, ListLayout, ListTexts } from './log-list';

const WIDTHS_PX: Readonly<Record<string, number>> = {
  level: 62,
  _origin: 220,
  namespace: 120,
  pod: 200,
  container: 120,
  service: 130,
};
const WIDTH_PX_DEFAULT = 150;
const WIDTH_PX_MIN = 56;
const MESSAGE_PX_MIN = 360;
/** Wrapped text needs less, and should stay in view. */
const MESSAGE_PX_MIN_WRAPPED = 180;
/** On a telephone the message should begin on the first screen. */
const NARROW_PX = 700;
const NARROW_WIDTH_PX_MAX = 110;
/** `23:59:59.999` and `11-20 23:59:59.999` in the list's type. */
const TIME_CH = 14;
const TIME_CH_WITH_DATE = 20;

export class ListHeader {
  readonly element = document.createElement('div');
  private layout: ListLayout | null = null;

  constructor(
    private readonly callbacks: ListCallbacks,
    private texts: ListTexts,
  ) {
    this.element.className = 'loglist-header';
    this.element.setAttribute('role', 'rowgroup');
  }

  get heightPx(): number {
    return this.element.offsetHeight;
  }

  setTexts(texts: ListTexts): void {
    this.texts = texts;
    if (this.layout) this.setLayout(this.layout);
  }

  setLayout(layout: ListLayout): void {
    this.layout = layout;
    const row = document.createElement('div');
    row.className = 'loglist-header-row';
    row.setAttribute('role', 'row');
    row.setAttribute('aria-rowindex', '1');
    row.append(this.timeCell(layout), ...layout.columns.map((column) => this.columnCell(column)));
    this.element.replaceChildren(row);
    this.applyWidths(layout);
  }

  private applyWidths(layout: ListLayout): void {
    const tracks = layout.columns.map((column, i) => {
      const last = i === layout.columns.length - 1;
      if (column === 'message')
        return `minmax(${layout.wrap ? MESSAGE_PX_MIN_WRAPPED : MESSAGE_PX_MIN}px, 1fr)`;
      const width = this.width(column);
      return last ? `minmax(${width}px, 1fr)` : `${width}px`;
    });
    const time = `${layout.withDate ? TIME_CH_WITH_DATE : TIME_CH}ch`;
    this.element.parentElement?.style.setProperty('--columns', [time, ...tracks].join(' '));
  }

  private width(column: string): number {
    const chosen = this.layout?.widths[column];
    if (chosen !== undefined) return chosen;
    const width = WIDTHS_PX[column] ?? WIDTH_PX_DEFAULT;
    return window.innerWidth < NARROW_PX ? Math.min(width, NARROW_WIDTH_PX_MAX) : width;
  }

  private timeCell(layout: ListLayout): HTMLElement {
    const cell = headerCell();
    cell.setAttribute('aria-sort', layout.order === 'asc' ? 'ascending' : 'descending');
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'loglist-sort';
    button.title = this.texts.sort;
    button.textContent = `${this.texts.columnName('timestamp')} ${layout.order === 'asc' ? '↑' : '↓'}`;
    button.addEventListener('click', () => this.callbacks.onSort());
    cell.append(button);
    return cell;
  }

  private columnCell(column: string): HTMLElement {
    const cell = headerCell();
    const name = document.createElement('span');
    name.className = 'loglist-name';
    name.textContent = this.texts.columnName(column);
    name.title = column;
    const remove = document.createElement('button');
    remove.type = 'button';
    remove.className = 'loglist-remove';
    remove.textContent = '×';
    const label = this.texts.removeColumn(this.texts.columnName(column));
    remove.title = label;
    remove.setAttribute('aria-label', label);
    remove.addEventListener('click', () => this.callbacks.onRemoveColumn(column));
    cell.append(name, remove);
    if (column !== 'message') cell.append(this.resizeHandle(column));
    return cell;
  }

  private resizeHandle(column: string): HTMLElement {
    const handle = document.createElement('div');
    handle.className = 'loglist-resize';
    handle.addEventListener('pointerdown', (down) => {
      down.preventDefault();
      handle.setPointerCapture(down.pointerId);
      const startX = down.clientX;
      const startWidth = this.width(column);
      let width = startWidth;
      const move = (event: PointerEvent) => {
        width = Math.max(WIDTH_PX_MIN, Math.round(startWidth + event.clientX - startX));
        if (!this.layout) return;
        this.layout = { ...this.layout, widths: { ...this.layout.widths, [column]: width } };
        this.applyWidths(this.layout);
      };
      const up = () => {
        handle.removeEventListener('pointermove', move);
        if (width !== startWidth) this.callbacks.onColumnWidth(column, width);
      };
      handle.addEventListener('pointermove', move);
      handle.addEventListener('pointerup', up, { once: true });
      handle.addEventListener('pointercancel', up, { once: true });
    });
    return handle;
  }
}

function headerCell(): HTMLElement {
  const cell = document.createElement('div');
  cell.className = 'loglist-headcell';
  cell.setAttribute('role', 'columnheader');
  return cell;
}
