/** Tells the grammar which words are operators; KQL takes them in any case. */
import { And, Not, Or } from './kql.grammar.terms';

const KEYWORDS: Readonly<Record<string, number>> = { and: And, or: Or, not: Not };

export function keyword(word: string): number {
  return KEYWORDS[word.toLowerCase()] ?? -1;
}
