/** Which words of a query are marked in the rows: those that a message must hold. */
import type { SyntaxNode } from '@lezer/common';
import { kqlParser } from './language';

/** More than this makes the pattern slow and the page unreadable. */
const TERM_COUNT_MAX = 20;

/** Words and phrases looked for in messages, without those that are negated. */
export function messageTerms(query: string): string[] {
  const terms = new Set<string>();
  const tree = kqlParser.parse(query);
  let negateNext = false;
  const visit = (node: SyntaxNode, negated: boolean): void => {
    for (let child = node.firstChild; child; child = child.nextSibling) {
      if (child.name === 'Not') {
        negateNext = true;
        continue;
      }
      if (child.name === 'And' || child.name === 'Or') continue;
      const inNegation = negated || negateNext;
      negateNext = false;
      if (child.name === 'FieldTerm') visitField(child, inNegation);
      else if (child.name === 'Group') visit(child, inNegation);
      else if (!inNegation) addTerm(child);
    }
  };
  const visitField = (node: SyntaxNode, negated: boolean): void => {
    const field = node.getChild('Field');
    const name = field ? query.slice(field.from, field.to).replaceAll('"', '') : '';
    if (negated || (name !== 'message' && name !== '*')) return;
    const values = [
      ...node.getChildren('Value'),
      ...(node.getChild('ValueGroup')?.getChildren('Value') ?? []),
    ];
    for (const value of values) if (value.firstChild) addTerm(value.firstChild);
  };
  const addTerm = (node: SyntaxNode): void => {
    const text = query.slice(node.from, node.to);
    const term =
      node.name === 'String' ? unquote(text) : text.replace(/\\(.)/g, '$1').replaceAll('*', ' ').trim();
    if (node.name === 'String' || node.name === 'Word') {
      for (const part of node.name === 'String' ? [term] : term.split(' ')) if (part) terms.add(part);
    }
  };
  visit(tree.topNode, false);
  return [...terms].slice(0, TERM_COUNT_MAX);
}

function unquote(text: string): string {
  return text.replace(/^"|"$/g, '').replace(/\\(.)/g, '$1').trim();
}

/** A global, case-insensitive pattern of all terms, or null when there is nothing to mark. */
export function termPattern(terms: readonly string[]): RegExp | null {
  if (terms.length === 0) return null;
  const escaped = [...terms]
    .sort((a, b) => b.length - a.length)
    .map((t) => t.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'giu');
}
