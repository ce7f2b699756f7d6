import type { SyntaxNode } from '@lezer/common';
import { expect, test } from 'vitest';
import { placeAt } from '../../src/query/complete';
import { kqlParser } from '../../src/query/language';
import { namedFields, nearestName } from '../../src/query/names';
import { messageTerms, termPattern } from '../../src/query/terms';
import { matchesWords } from '../../src/query/words';

/** Names of nodes with what they hold in parentheses. */
function tree(query: string): string {
  const write = (node: SyntaxNode): string => {
    const inner = [];
    for (let child = node.firstChild; child; child = child.nextSibling) inner.push(write(child));
    return node.name + (inner.length > 0 ? `(${inner.join(',')})` : '');
  };
  return write(kqlParser.parse(query).topNode);
}

test('fields, operators, values and keywords are told apart', () => {
  expect(tree('level: error')).toBe('Query(FieldTerm(Field(Word),Operator,Value(Word)))');
  expect(tree('a AND Not b')).toBe('Query(Word,And,Not,Word)');
  expect(tree('x >= 5')).toBe('Query(FieldTerm(Field(Word),Operator,Value(Word)))');
  expect(tree('p: (a or "b c")')).toMatch(/ValueGroup/);
  expect(tree('items: { id: 1 }')).toMatch(/Nested/);
  expect(tree('message =~ "a.*b"')).toMatch(/Operator,Value\(String\)/);
  expect(tree('user\\:name: kim')).toBe('Query(FieldTerm(Field(Word),Operator,Value(Word)))');
});

test('half-typed queries still parse to the end', () => {
  for (const query of ['level:', 'level: (', '"open', 'a and', '((', ')', ': x', '\\']) {
    expect(kqlParser.parse(query).length).toBe(query.length);
  }
});

test('words that a message must hold are marked, negated ones are not', () => {
  expect(messageTerms('timeout "db pool" and level: error')).toEqual(['timeout', 'db pool']);
  expect(messageTerms('not boring and good')).toEqual(['good']);
  expect(messageTerms('message: (a or b) and not (c or d) and e')).toEqual(['a', 'b', 'e']);
  expect(messageTerms('time*out*')).toEqual(['time', 'out']);
  expect(messageTerms('결제')).toEqual(['결제']);
});

test('terms are matched literally and in any case', () => {
  expect('a.b A.B axb'.match(termPattern(['a.b']) ?? /never/)).toEqual(['a.b', 'A.B']);
  expect(termPattern([])).toBeNull();
});

test('completion knows a name from a value', () => {
  const at = (doc: string) => placeAt(kqlParser.parse(doc).topNode, doc, doc.length);
  expect(at('lev')).toMatchObject({ kind: 'field', from: 0, text: 'lev' });
  expect(at('level: error and na')).toMatchObject({ kind: 'field', from: 17, text: 'na' });
  expect(at('level: ')).toMatchObject({ kind: 'value', field: 'level', text: '' });
  expect(at('level:er')).toMatchObject({ kind: 'value', field: 'level', text: 'er', from: 6 });
  expect(at('pod: (a or b')).toMatchObject({ kind: 'value', field: 'pod', text: 'b' });
  expect(at('(level: error or po')).toMatchObject({ kind: 'field', text: 'po' });
  expect(at('user\\:name: k')).toMatchObject({ kind: 'value', field: 'user:name' });
});

test('fields are found by parts of their name in order', () => {
  expect(matchesWords('geo.src.dest', 'geo dest')).toBe(true);
  expect(matchesWords('geo.src.dest', 'dest geo')).toBe(false);
  expect(matchesWords('HTTP.Status', 'stat')).toBe(true);
});

test('fields that a query names, and the one that was meant', () => {
  expect(namedFields('levle: error and (http.* > 5 or not "a b": x) and word')).toEqual([
    'levle',
    'http.*',
    '"a b"',
  ]);
  expect(namedFields('items: { id: 1 } and items: x')).toEqual(['items']);
  const names = ['level', 'namespace', 'http.status', 'node', 'pod'];
  expect(nearestName('levle', names)).toBe('level');
  expect(nearestName('Namespaec', names)).toBe('namespace');
  expect(nearestName('status', names)).toBe('http.status');
  expect(nearestName('mode', names)).toBe('node');
  expect(nearestName('pdo', names)).toBe('pod');
  expect(nearestName('user', names)).toBe(null);
});
