/**
 * The part of the REST API about what is collected, where it waits and what became of it.
 *
 * Owns: requests and the form of answers. Does not own: what they mean (`docs/ledger.md`, `docs/buffer.md`).
 */
import { request } from './client';

export interface Count {
  records: number;
  bytes: number;
}

export interface Ending extends Count {
  fate: string;
  rule: string;
}

/** What was read of an input for an output, or put into a buffer, and what became of it. */
export interface Book {
  hop: 'input' | 'buffer';
  input: string;
  output: string;
  read: Count;
  copied: Count;
  made: Count;
  ended: Ending[];
  unaccounted: Count;
  closes: boolean;
}

/** What an output was told to be taken, in bytes of its sources, by what is known of it at the end of its way. */
export interface Taken {
  bytes: number;
  confirmed: number;
  missing: number;
  unknown: number;
  open: number;
}

export interface Checkpoint {
  output: string;
  taken: Taken;
  open_since: string | null;
  closes: boolean;
}

/** What another Sawyer was told here. */
export interface Peer {
  agent: string;
  output: string;
  taken: Taken;
}

export interface LedgerAnswer {
  closes: boolean;
  ledger: Book[];
  checkpoints: Checkpoint[];
  peers: Peer[];
}

/** Records that were neither delivered nor buffered at an output. */
export interface LeftOut extends Ending {
  output: string;
}

/** What became of a file. */
export interface SourceBook {
  input: string;
  path: string;
  source: string;
  unread: number | null;
  ended: { bytes: number };
  left_out: LeftOut[];
  closes: boolean;
}

export interface SourcesAnswer {
  sources: SourceBook[];
  count: number;
  others: { input: string; left_out: LeftOut[] }[];
}

export interface InputStatus {
  records?: number;
  files?: number;
  bytes_behind?: number;
  files_in_danger?: number;
}

export interface Lane {
  lane: 'urgent' | 'normal' | 'dead';
  entries: number;
  records: number;
  bytes: number;
  oldest: string | null;
}

export const readLedger = (signal?: AbortSignal) => request<LedgerAnswer>('GET', 'ledger', undefined, signal);
export const readSources = (path: string, limit: number, signal?: AbortSignal) =>
  request<SourcesAnswer>(
    'GET',
    `ledger/sources?limit=${String(limit)}&path=${encodeURIComponent(path)}`,
    undefined,
    signal,
  );
export const readStatus = (signal?: AbortSignal) =>
  request<{ inputs: Record<string, InputStatus> }>('GET', 'status', undefined, signal);
export const readBuffers = (signal?: AbortSignal) =>
  request<{ buffers: { output: string; lanes: Lane[] }[] }>('GET', 'buffers', undefined, signal);
