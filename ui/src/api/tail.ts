/**
 * The live tail: new records as they arrive, in order, each once.
 *
 * Owns: the connection and its repair, filling the gap after a break, batching for the screen.
 * Does not own: the list, pausing, how rows look.
 * Invariant: a record is given at most once as long as its id is among the last ones remembered.
 */
import { ApiError, searchPage, serverNow, tailUrl } from './client';
import type { LogRecord } from './types';

/** `refused`: the query is at fault, so nothing is tried again. */
export type TailStatus = 'connecting' | 'open' | 'waiting' | 'refused';

export interface TailCallbacks {
  onRecords: (records: LogRecord[]) => void;
  /** So many matching records were left out of the view: the rate was too high. */
  onSkipped: (count: number) => void;
  onStatus: (status: TailStatus) => void;
  onError: (message: string) => void;
}

/** Rows shown at once when the tail starts. */
const BACKLOG_ROWS = 200;
/** How far back the first rows may lie. */
const BACKLOG_MS = 15 * 60_000;
/** A batch this often is smooth, and cheap at any rate. */
const FLUSH_MS = 100;
/** After a break, rows from a little before it are asked for again; ids sort out repeats. */
const OVERLAP_MS = 2000;
const RETRY_MS_MIN = 1000;
const RETRY_MS_MAX = 15_000;
const REMEMBERED_IDS = 20_000;

export class LiveTail {
  private source: EventSource | null = null;
  private readonly abort = new AbortController();
  private seen = new Set<string>();
  private older = new Set<string>();
  private pending: LogRecord[] = [];
  private catchingUp = false;
  private lastMs = 0;
  private retryMs = RETRY_MS_MIN;
  private flushTimer: ReturnType<typeof setTimeout> | undefined;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly query: string,
    private readonly callbacks: TailCallbacks,
  ) {}

  start(): void {
    this.callbacks.onStatus('connecting');
    const source = new EventSource(tailUrl(this.query));
    this.source = source;
    source.addEventListener('open', () => this.opened());
    source.addEventListener('record', (event) => this.received(event));
    source.addEventListener('skipped', (event) => {
      const { count } = JSON.parse((event as MessageEvent<string>).data) as { count: number };
      this.callbacks.onSkipped(count);
    });
    source.addEventListener('error', (event) => this.failed(event));
  }

  stop(): void {
    this.abort.abort();
    this.source?.close();
    clearTimeout(this.flushTimer);
    clearTimeout(this.retryTimer);
  }

  private opened(): void {
    this.retryMs = RETRY_MS_MIN;
    this.callbacks.onStatus('open');
    void this.catchUp();
  }

  /** Asks for what came before the stream began; streamed records wait, so that order is kept. */
  private async catchUp(): Promise<void> {
    this.catchingUp = true;
    try {
      const endMs = serverNow() + OVERLAP_MS;
      const startMs = this.lastMs ? this.lastMs - OVERLAP_MS : endMs - BACKLOG_MS;
      const scope = { query: this.query, startMs, endMs };
      const answer = await searchPage(scope, { order: 'desc', limit: BACKLOG_ROWS }, this.abort.signal);
      this.pending.unshift(...answer.records.reverse());
    } catch (error) {
      if (!this.abort.signal.aborted) this.callbacks.onError((error as Error).message);
    } finally {
      this.catchingUp = false;
      this.flushSoon();
    }
  }

  private received(event: Event): void {
    this.pending.push(JSON.parse((event as MessageEvent<string>).data) as LogRecord);
    this.flushSoon();
  }

  private flushSoon(): void {
    this.flushTimer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  private flush(): void {
    this.flushTimer = undefined;
    if (this.catchingUp || this.abort.signal.aborted) return;
    const fresh = this.pending.filter((record) => this.isNew(record._id));
    this.pending = [];
    for (const record of fresh) this.lastMs = Math.max(this.lastMs, Date.parse(record.timestamp) || 0);
    if (fresh.length > 0) this.callbacks.onRecords(fresh);
  }

  private isNew(id: string): boolean {
    if (this.seen.has(id) || this.older.has(id)) return false;
    if (this.seen.size >= REMEMBERED_IDS) {
      this.older = this.seen;
      this.seen = new Set();
    }
    this.seen.add(id);
    return true;
  }

  private failed(event: Event): void {
    if (event instanceof MessageEvent) {
      this.callbacks.onError(errorText(event.data as string));
      return;
    }
    this.callbacks.onStatus('waiting');
    // The browser repairs broken connections itself, but gives up on a refusal.
    if (this.source?.readyState !== EventSource.CLOSED) return;
    void this.retryUnlessInvalid();
  }

  /** A refusal has a reason that the browser hides; a search with the same query tells it. */
  private async retryUnlessInvalid(): Promise<void> {
    const nowMs = serverNow();
    const scope = { query: this.query, startMs: nowMs - 1, endMs: nowMs };
    try {
      await searchPage(scope, { order: 'desc', limit: 1 }, this.abort.signal);
    } catch (error) {
      if (this.abort.signal.aborted) return;
      this.callbacks.onError((error as Error).message);
      if (error instanceof ApiError && error.isInvalid) {
        this.callbacks.onStatus('refused');
        return;
      }
    }
    clearTimeout(this.retryTimer);
    this.retryTimer = setTimeout(() => this.start(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, RETRY_MS_MAX);
  }
}

function errorText(data: string): string {
  try {
    const body = JSON.parse(data) as { message?: string; error?: { message?: string } };
    return body.error?.message ?? body.message ?? data;
  } catch {
    return data;
  }
}
