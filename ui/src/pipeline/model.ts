/** What the tables show of the books. */
import type { Book, Ending, Peer } from '../api/pipeline';

/** The largest first; nothing that did not happen. */
export function endings(book: Book): Ending[] {
  return book.ended
    .filter((ending) => ending.records !== 0 || ending.bytes !== 0)
    .sort((a, b) => b.records - a.records || b.bytes - a.bytes);
}

/** Books that do not close first, then as the server has them. */
export function inOrder(books: Book[]): Book[] {
  return [...books].sort((a, b) => Number(a.closes) - Number(b.closes));
}

/** Those who miss most first, then as the server has them. */
export function missingFirst(peers: Peer[]): Peer[] {
  return [...peers].sort((a, b) => b.taken.missing - a.taken.missing);
}

/** Fates that mean that somebody does not get the records. */
const LOSSES = new Set(['shed', 'dead_lettered']);

export const isLoss = (fate: string) => LOSSES.has(fate);
