/** `geo dest` finds `geo.src.dest`: every word occurs, one after the other. */
export function matchesWords(text: string, search: string): boolean {
  const lower = text.toLowerCase();
  let at = 0;
  for (const word of search.toLowerCase().split(/\s+/)) {
    if (!word) continue;
    const found = lower.indexOf(word, at);
    if (found < 0) return false;
    at = found + word.length;
  }
  return true;
}
