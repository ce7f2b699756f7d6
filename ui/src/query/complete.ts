/**
 * Completion of fields, operators and values in the query bar.
 *
 * Invariant: asks the server only after somebody typed or pressed the key for it, within the time
 * range of the page, and gives up after a second.
 */
import type { Completion, CompletionContext, CompletionResult } from '@codemirror/autocomplete';
import { syntaxTree } from '@codemirror/language';
import type { SyntaxNode } from '@lezer/common';
import type { FieldInfo, FieldTopValue } from '../api/types';
import { kqlField, kqlValue } from './filters';

export interface CompletionSource {
  fields: (signal: AbortSignal) => Promise<FieldInfo[]>;
  values: (field: string, prefix: string, signal: AbortSignal) => Promise<FieldTopValue[]>;
  formatCount: (count: number) => string;
}

/** A slow answer is worse than none while typing. */
const BUDGET_MS = 1000;
const VALUE_BARE = /^[\p{L}\p{N}_.\-/@]+$/u;

export type Place =
  | { kind: 'field'; from: number; text: string }
  | { kind: 'value'; from: number; field: string; text: string };

/** What is being typed at `pos`: a name (or a bare word), or a value of a field. */
export function placeAt(root: SyntaxNode, doc: string, pos: number): Place | null {
  const before = /[^\s():<>"{}=]*$/.exec(doc.slice(0, pos))?.[0] ?? '';
  const node = root.resolveInner(pos, -1);
  if (node.name === 'String' && pos > node.from && pos < node.to) return null;
  const term = enclosing(node, 'FieldTerm') ?? openTermBefore(doc, pos - before.length);
  if (term === null) return { kind: 'field', from: pos - before.length, text: before };
  if (typeof term === 'string')
    return { kind: 'value', from: pos - before.length, field: term, text: before };
  const operator = term.getChild('Operator');
  const field = term.getChild('Field');
  if (!operator || !field || pos < operator.to)
    return { kind: 'field', from: pos - before.length, text: before };
  return {
    kind: 'value',
    from: pos - before.length,
    field: fieldName(doc.slice(field.from, field.to)),
    text: before,
  };
}

function enclosing(node: SyntaxNode, name: string): SyntaxNode | null {
  for (let at: SyntaxNode | null = node; at; at = at.parent) {
    if (at.name === name) return at;
    if (at.name === 'Group') return null;
  }
  return null;
}

/** `level: |`: nothing of the value is there yet, so the tree ends before the cursor. */
function openTermBefore(doc: string, pos: number): string | null {
  const match = /("(?:[^"\\]|\\.)*"|(?:[^\s():<>"{}=]|\\.)+)\s*:\s*$/.exec(doc.slice(0, pos));
  return match ? fieldName(match[1] ?? '') : null;
}

function fieldName(text: string): string {
  return text.startsWith('"') ? text.slice(1, -1) : text.replace(/\\(.)/g, '$1');
}

export function kqlCompletion(source: CompletionSource) {
  return async (context: CompletionContext): Promise<CompletionResult | null> => {
    const doc = context.state.doc.toString();
    const place = placeAt(syntaxTree(context.state).topNode, doc, context.pos);
    if (!place || (!context.explicit && place.kind === 'field' && !place.text)) return null;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), BUDGET_MS);
    context.addEventListener('abort', () => abort.abort());
    try {
      const options =
        place.kind === 'field'
          ? fieldOptions(await source.fields(abort.signal), source)
          : valueOptions(await source.values(place.field, place.text, abort.signal), source);
      if (place.kind === 'field') options.push(...keywordOptions(doc.slice(0, place.from)));
      return { from: place.from, options, validFor: /^[^\s():<>"{}=]*$/ };
    } catch {
      // Too late or refused: typing goes on without suggestions.
      return null;
    } finally {
      clearTimeout(timer);
    }
  };
}

function fieldOptions(fields: FieldInfo[], source: CompletionSource): Completion[] {
  return fields.map((field) => ({
    label: field.name,
    apply: `${kqlField(field.name)}: `,
    detail: field.types.join(', '),
    info: source.formatCount(field.count),
    type: 'property',
    boost: field.name.startsWith('_') ? -10 : 0,
  }));
}

function keywordOptions(before: string): Completion[] {
  const words = before.trim() ? ['and', 'or', 'not'] : ['not'];
  return words.map((label) => ({ label, apply: `${label} `, type: 'keyword', boost: 5 }));
}

function valueOptions(values: FieldTopValue[], source: CompletionSource): Completion[] {
  return values.flatMap(({ value, count }, i) => {
    if (value === null || typeof value === 'object') return [];
    const text = String(value);
    const bare = typeof value !== 'string' || (VALUE_BARE.test(text) && !/^(and|or|not)$/i.test(text));
    const apply = bare ? text : kqlValue(text);
    return [
      { label: text, apply: `${apply} `, detail: source.formatCount(count), type: 'constant', boost: -i },
    ];
  });
}
