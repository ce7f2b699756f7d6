/** KQL for the editor: colours by the lenient grammar. */
import { LRLanguage, LanguageSupport, HighlightStyle, syntaxHighlighting } from '@codemirror/language';
import { styleTags, tags } from '@lezer/highlight';
import { parser } from './kql.grammar';

export const kqlParser = parser.configure({
  props: [
    styleTags({
      'Field/...': tags.propertyName,
      Operator: tags.compareOperator,
      'And Or Not': tags.logicOperator,
      String: tags.string,
      'Value/Word': tags.literal,
      '( ) { }': tags.paren,
    }),
  ],
});

const highlighting = HighlightStyle.define([
  { tag: tags.propertyName, class: 'kql-field' },
  { tag: tags.compareOperator, class: 'kql-operator' },
  { tag: tags.logicOperator, class: 'kql-keyword' },
  { tag: tags.string, class: 'kql-string' },
  { tag: tags.literal, class: 'kql-literal' },
  { tag: tags.paren, class: 'kql-paren' },
]);

export function kql(): LanguageSupport {
  const language = LRLanguage.define({ name: 'kql', parser: kqlParser });
  return new LanguageSupport(language, syntaxHighlighting(highlighting));
}
