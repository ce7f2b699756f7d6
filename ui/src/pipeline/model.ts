/** What the tables show of the books. */
import type { Book, Ending, LeftOut, Peer } from '../api/pipeline';

/** The largest first; nothing that did not happen. */
export function inSize<E extends Ending>(endings: E[]): E[] {
  return endings
    .filter((ending) => ending.records !== 0 || ending.bytes !== 0)
    .sort((a, b) => b.records - a.records || b.bytes - a.bytes);
}

/** What each output did not get; of blank lines and pieces, which are no records, nothing. */
export function byOutput(leftOut: LeftOut[]): [string, LeftOut[]][] {
  const outputs = new Map<string, LeftOut[]>();
  for (const left of leftOut) {
    if (left.records > 0) outputs.set(left.output, [...(outputs.get(left.output) ?? []), left]);
  }
  return [...outputs];
}

/** The kubelet's layout, wherever it is mounted. */
const POD_LOG = /\/pods\/([^/_]+)_([^/_]+)_[^/]+\/([^/]+)(?:\/(.*))?$/;

/** Who speaks in a file, and which file it is: namespace, pod and container of a container's log, else the path. */
export function placeOf(path: string): { name: string; file: string } {
  const [, namespace, pod, container, file] = POD_LOG.exec(path) ?? [];
  return container
    ? { name: `${namespace} / ${pod} / ${container}`, file: file ?? '' }
    : { name: path, file: '' };
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
