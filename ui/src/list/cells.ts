/** What a cell shows: the text of a field, and messages with colours and marked terms. */
import type { FieldValue, LogRecord } from '../api/types';
import { valueJson } from './json';
import { ansiRuns, hasAnsi, type Run } from './ansi';

/** More of a line is never visible without wrapping. */
const LINE_CHARS_MAX = 800;
/** A wrapped row stays a row and not a page; the details show everything. */
const WRAPPED_CHARS_MAX = 4000;

export function valueText(value: FieldValue | undefined): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(valueText).join(', ');
  if (typeof value === 'object') return valueJson(value);
  return String(value);
}

/** Where the record came from, in one short text: pod, else service, else file. */
export function originText(record: LogRecord): string {
  const pod = valueText(record.pod);
  if (pod) {
    const namespace = valueText(record.namespace);
    return namespace ? `${namespace}/${pod}` : pod;
  }
  const service = valueText(record.service);
  if (service) return service;
  const source = valueText(record.source);
  return source.slice(source.lastIndexOf('/') + 1);
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/** The level as one of six names, or `none`; other words of it are known too. */
export function levelName(value: FieldValue | undefined): string {
  const text = valueText(value).toLowerCase();
  if (LEVELS.includes(text)) return text;
  if (text.startsWith('warn')) return 'warn';
  if (text.startsWith('err')) return 'error';
  if (/^(crit|emerg|alert|panic)/.test(text)) return 'fatal';
  if (text.startsWith('notice') || text.startsWith('info')) return 'info';
  return 'none';
}

/** The message, or what stands in for it in records without one. */
export function messageText(record: LogRecord): string {
  const message = valueText(record.message);
  if (message) return message;
  return Object.entries(record)
    .filter(([name, value]) => !name.startsWith('_') && !COMMON.has(name) && value !== null)
    .map(([name, value]) => `${name}=${valueText(value)}`)
    .join(' ');
}

const COMMON = new Set([
  ...['timestamp', 'observed', 'level', 'cluster', 'node', 'namespace', 'pod', 'pod_uid', 'container'],
  ...['image', 'workload', 'workload_kind', 'service', 'env', 'stream', 'source'],
]);

const FIRST = ['timestamp', 'level', 'message'];

/** A record's fields as details show them: what happened first, what Sawyer noted itself last. */
export function detailFields(record: LogRecord): [string, FieldValue][] {
  const rank = (name: string) => {
    const first = FIRST.indexOf(name);
    if (first >= 0) return first;
    return name === 'observed' || name.startsWith('_') ? FIRST.length + 1 : FIRST.length;
  };
  return Object.entries(record)
    .filter(([name, value]) => value !== undefined && name !== '_original' && name !== '_truncated')
    .map(([name, value]): [string, FieldValue] => [name, value ?? null])
    .sort(([a], [b]) => rank(a) - rank(b));
}

/** Fills `cell` with `text`; plain text takes the short way of one text node. */
export function renderMessage(
  cell: HTMLElement,
  text: string,
  pattern: RegExp | null,
  wrapped: boolean,
): void {
  let shown = text.length > WRAPPED_CHARS_MAX ? `${text.slice(0, WRAPPED_CHARS_MAX)}…` : text;
  if (!wrapped) shown = shown.slice(0, LINE_CHARS_MAX).replace(/\r?\n/g, ' ↵ ');
  const coloured = hasAnsi(shown);
  if (!coloured && !pattern) {
    cell.textContent = shown;
    return;
  }
  const runs = coloured ? ansiRuns(shown) : [{ text: shown, className: '' }];
  cell.replaceChildren(...runs.flatMap((run) => runNodes(run, pattern)));
}

function runNodes(run: Run, pattern: RegExp | null): Node[] {
  const nodes = pattern ? markTerms(run.text, pattern) : [document.createTextNode(run.text)];
  if (!run.className) return nodes;
  const span = document.createElement('span');
  span.className = run.className;
  span.append(...nodes);
  return [span];
}

function markTerms(text: string, pattern: RegExp): Node[] {
  const nodes: Node[] = [];
  let at = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0].length === 0) continue;
    if (match.index > at) nodes.push(document.createTextNode(text.slice(at, match.index)));
    const mark = document.createElement('mark');
    mark.textContent = match[0];
    nodes.push(mark);
    at = match.index + match[0].length;
  }
  if (at < text.length) nodes.push(document.createTextNode(text.slice(at)));
  return nodes;
}
