/**
 * The query bar's editor: one line that grows, coloured and completed.
 *
 * Does not own: running the query or its errors.
 */
import {
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  completionStatus,
} from '@codemirror/autocomplete';
import { defaultKeymap, history, historyKeymap, insertNewline } from '@codemirror/commands';
import { bracketMatching } from '@codemirror/language';
import { Compartment, EditorState, Prec } from '@codemirror/state';
import { EditorView, keymap, placeholder } from '@codemirror/view';
import { kqlCompletion, type CompletionSource } from './complete';
import { kql } from './language';

export interface EditorCallbacks {
  onRun: () => void;
  onChange: (text: string) => void;
  onEscape: () => void;
}

export interface EditorTexts {
  label: string;
  placeholder: string;
}

const texts = new Compartment();

function textExtensions({ label, placeholder: hint }: EditorTexts) {
  return [placeholder(hint), EditorView.contentAttributes.of({ 'aria-label': label, spellcheck: 'false' })];
}

/** The nonce the server put into the page; styles made by script need it under a strict policy. */
export function cspNonce(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csp-nonce"]')?.nonce ?? '';
}

export function createEditor(
  parent: HTMLElement,
  doc: string,
  callbacks: EditorCallbacks,
  source: CompletionSource,
  initialTexts: EditorTexts,
): EditorView {
  const run = (view: EditorView) => {
    if (completionStatus(view.state) === 'active') return false;
    callbacks.onRun();
    return true;
  };
  const runKeys = Prec.high(
    keymap.of([
      { key: 'Mod-Enter', run },
      { key: 'Shift-Enter', run: insertNewline },
    ]),
  );
  const enter = keymap.of([
    { key: 'Enter', run },
    {
      key: 'Escape',
      run: () => {
        callbacks.onEscape();
        return true;
      },
    },
  ]);
  return new EditorView({
    parent,
    state: EditorState.create({
      doc,
      extensions: [
        runKeys,
        history(),
        closeBrackets(),
        bracketMatching(),
        autocompletion({
          override: [kqlCompletion(source)],
          icons: false,
          activateOnTypingDelay: 150,
          // Enter runs the query unless somebody moved into the list first.
          selectOnOpen: false,
        }),
        keymap.of([...closeBracketsKeymap, ...completionKeymap]),
        enter,
        keymap.of([...historyKeymap, ...defaultKeymap]),
        kql(),
        EditorView.lineWrapping,
        EditorView.cspNonce.of(cspNonce()),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) callbacks.onChange(update.state.doc.toString());
        }),
        texts.of(textExtensions(initialTexts)),
      ],
    }),
  });
}

export function setEditorText(view: EditorView, text: string): void {
  if (view.state.doc.toString() === text) return;
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}

export function setEditorTexts(view: EditorView, changed: EditorTexts): void {
  view.dispatch({ effects: texts.reconfigure(textExtensions(changed)) });
}
