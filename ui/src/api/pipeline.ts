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

export const readLedger = (signal?: AbortSignal) =>
  request<{ closes: boolean; ledger: Book[] }>('GET', 'ledger', undefined, signal);
export const readStatus = (signal?: AbortSignal) =>
  request<{ inputs: Record<string, InputStatus> }>('GET', 'status', undefined, signal);
export const readBuffers = (signal?: AbortSignal) =>
  request<{ buffers: { output: string; lanes: Lane[] }[] }>('GET', 'buffers', undefined, signal);
