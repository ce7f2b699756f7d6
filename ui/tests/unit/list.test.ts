import { afterEach, expect, test, vi } from 'vitest';
import type { LogRecord } from '../../src/api/types';
import { ansiRuns, stripAnsi } from '../../src/list/ansi';
import {
  detailFields,
  levelName,
  messageText,
  originText,
  renderMessage,
  valueText,
} from '../../src/list/cells';
import { prettyRecord } from '../../src/list/json';
import { LogList, type ListCallbacks } from '../../src/list/log-list';
import { RowHeights } from '../../src/list/row-heights';

const texts = {
  list: 'rows',
  columnName: (name: string) => name,
  sort: 'sort',
  removeColumn: (name: string) => name,
};
const layout = {
  columns: ['level', 'message'],
  widths: {},
  wrap: false,
  rowHeightPx: 20,
  timeZone: 'utc' as const,
  withDate: false,
  order: 'desc' as const,
};

function records(count: number): LogRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    _id: `r${i}`,
    timestamp: new Date(i * 1000).toISOString(),
    level: i % 2 ? 'info' : 'error',
    message: `message ${i}`,
  }));
}

function makeList() {
  const root = document.createElement('div');
  Object.defineProperty(root, 'clientHeight', { value: 400 });
  document.body.append(root);
  const callbacks = {
    onOpen: vi.fn(),
    onNearEnd: vi.fn(),
    onBottom: vi.fn(),
    onSort: vi.fn(),
    onRemoveColumn: vi.fn(),
    onColumnWidth: vi.fn(),
  } satisfies ListCallbacks;
  const list = new LogList(root, callbacks, texts);
  list.setLayout(layout);
  const scrollTo = (top: number) => {
    root.scrollTop = top;
    root.dispatchEvent(new Event('scroll'));
  };
  const shown = () => [...root.querySelectorAll<HTMLElement>('.logrow:not([hidden])')];
  return { root, list, callbacks, scrollTo, shown };
}

afterEach(() => document.body.replaceChildren());

test('draws only what is visible, and uses rows again', () => {
  const { root, list, scrollTo, shown } = makeList();
  list.setRows(records(100_000), false);
  const first = root.querySelectorAll('.logrow').length;
  expect(first).toBeLessThan(60);
  for (const top of [10_000, 1_000_000, 1_999_000, 0]) scrollTo(top);
  expect(root.querySelectorAll('.logrow').length).toBeLessThan(80);
  expect(shown()[0]?.textContent).toContain('message');
});

test('shows the rows of the place scrolled to', () => {
  const { list, scrollTo, shown } = makeList();
  list.setRows(records(10_000), false);
  scrollTo(5000 * 20);
  const visible = shown().map((row) => row.querySelector('.logcell-message')?.textContent);
  for (let i = 5000; i < 5019; i += 1) expect(visible).toContain(`message ${i}`);
});

test('asks for more only near the end', () => {
  const { list, scrollTo, callbacks } = makeList();
  list.setRows(records(1000), false);
  expect(callbacks.onNearEnd).not.toHaveBeenCalled();
  scrollTo(900 * 20);
  expect(callbacks.onNearEnd).toHaveBeenCalled();
});

test('moves the selection and reports it', () => {
  const { list, callbacks, root } = makeList();
  list.setRows(records(50), false);
  list.move(1);
  list.move(1);
  list.move(1);
  expect(callbacks.onOpen.mock.calls.map(([record]) => (record as LogRecord)._id)).toEqual([
    'r0',
    'r1',
    'r2',
  ]);
  expect(root.querySelector('[aria-selected=true]')?.textContent).toContain('message 2');
  list.move(-100);
  expect(list.selectedIndex()).toBe(0);
  expect(list.move(-1)).toBe(false);
});

test('keeps the newest rows when a live view is full', () => {
  const { list } = makeList();
  list.append(records(150), 100, false);
  expect(list.length).toBe(100);
  list.select('r50');
  expect(list.selectedIndex()).toBe(0);
});

test('row tops agree with plain sums', () => {
  const heights = new RowHeights();
  const plain = new Array<number>(300).fill(20);
  heights.reset(300, 20);
  let seed = 7;
  for (let round = 0; round < 500; round += 1) {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    const index = seed % 300;
    const px = 10 + (seed % 90);
    heights.set(index, px);
    plain[index] = px;
    const probe = (seed >> 5) % 300;
    const top = plain.slice(0, probe).reduce((sum, h) => sum + h, 0);
    expect(heights.top(probe)).toBe(top);
    expect(heights.indexAt(top)).toBe(probe);
    expect(heights.indexAt(top + (plain[probe] ?? 0) - 1)).toBe(probe);
  }
});

test('more rows keep the heights already measured', () => {
  const heights = new RowHeights();
  heights.reset(3, 20);
  heights.set(1, 50);
  heights.resize(5);
  expect([0, 1, 2, 3, 4, 5].map((i) => heights.top(i))).toEqual([0, 20, 70, 90, 110, 130]);
});

test('colours of terminals become classes, other sequences vanish', () => {
  expect(ansiRuns('a\u001b[1;31mred\u001b[0m b')).toEqual([
    { text: 'a', className: '' },
    { text: 'red', className: 'ansi-1 ansi-bold' },
    { text: ' b', className: '' },
  ]);
  expect(ansiRuns('\u001b[38;5;2mx\u001b[38;2;1;2;3my')).toEqual([
    { text: 'x', className: 'ansi-2' },
    { text: 'y', className: '' },
  ]);
  expect(stripAnsi('\u001b[2K\u001b]0;title\u0007done')).toBe('done');
});

test('messages never become markup, and terms are marked', () => {
  const cell = document.createElement('div');
  renderMessage(cell, '<img src=x onerror=alert(1)> Timeout', /timeout/giu, false);
  expect(cell.querySelector('img')).toBeNull();
  expect(cell.querySelector('mark')?.textContent).toBe('Timeout');
  renderMessage(cell, 'a\nb', null, false);
  expect(cell.textContent).toBe('a ↵ b');
});

test('levels of other worlds are known', () => {
  expect(['WARNING', 'err', 'Critical', 'notice', 'weird', ''].map(levelName)).toEqual([
    'warn',
    'error',
    'fatal',
    'info',
    'none',
    'none',
  ]);
});

test('records without message or pod still say something', () => {
  const record = { _id: '1', timestamp: 't', source: '/var/log/syslog', 'http.status': 200, node: 'n1' };
  expect(messageText(record)).toBe('http.status=200');
  expect(originText(record)).toBe('syslog');
});

test('details begin with what happened and end with what Sawyer noted itself', () => {
  const record = { _id: '1', observed: 'o', app: 'a', exception: 'long', timestamp: 't' };
  const whole = { ...record, level: 'error', message: 'm', _original: 'x', gone: undefined, zero: null };
  const names = detailFields(whole).map(([name]) => name);
  expect(names).toEqual(['timestamp', 'level', 'message', 'app', 'exception', 'zero', '_id', 'observed']);
});

test('lists of objects are shown as they are', () => {
  const items = [{ id: 1, name: 'a' }, 'x'];
  expect(valueText(items)).toBe('{"id": 1, "name": "a"}, x');
  expect(prettyRecord({ _id: '1', timestamp: 't', items })).toContain(
    '"items": [{"id": 1, "name": "a"}, "x"]',
  );
});

test('large integers are written exactly', () => {
  const record = { _id: '1', timestamp: 't', big: 9223372036854775807n, list: ['a', 1], _original: 'x' };
  expect(prettyRecord(record)).toContain('"big": 9223372036854775807');
  expect(prettyRecord(record)).not.toContain('_original');
});
