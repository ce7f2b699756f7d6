/** Which fields a query speaks of, and which one was probably meant by a name that no record has. */
import { kqlParser } from './language';

/** Each name is a question to the server. */
const NAMES_MAX = 5;

/** Names as they stand in the query. Those inside of `{ }` are parts of others, and left out. */
export function namedFields(query: string): string[] {
  const names = new Set<string>();
  kqlParser.parse(query).iterate({
    enter(node) {
      if (node.name === 'Nested') return false;
      if (node.name === 'Field') names.add(query.slice(node.from, node.to));
      return true;
    },
  });
  return [...names].slice(0, NAMES_MAX);
}

/** Letters that may be wrong in a name; in a short one two make another word. */
const slips = (name: string) => (name.length < 8 ? 1 : 2);

/** The name that ends in what was typed (`status`, `http.status`), or else differs by a slip of the fingers. */
export function nearestName(typed: string, names: readonly string[]): string | null {
  const name = typed.toLowerCase();
  const longer = names.find((other) => other.toLowerCase().endsWith(`.${name}`));
  if (longer) return longer;
  let best: string | null = null;
  let least = slips(name) + 1;
  for (const other of names) {
    if (Math.abs(other.length - name.length) >= least) continue;
    const away = distance(name, other.toLowerCase());
    if (away < least) [best, least] = [other, away];
  }
  return best;
}

/** Letters put in, left out, replaced, or swapped with their neighbour. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let k = 1; k <= b.length; k += 1) {
      const differs = a[i - 1] === b[k - 1] ? 0 : 1;
      let least = Math.min((above[k] ?? 0) + 1, (row[k - 1] ?? 0) + 1, (above[k - 1] ?? 0) + differs);
      const swapped = i > 1 && k > 1 && a[i - 1] === b[k - 2] && a[i - 2] === b[k - 1];
      if (swapped) least = Math.min(least, (before[k - 2] ?? 0) + 1);
      row.push(least);
    }
    [before, above] = [above, row];
  }
  return above[b.length] ?? 0;
}
