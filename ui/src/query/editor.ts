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
  selectedCompletion,
  closeCompletion,
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
    if (selectedCompletion(view.state)) return false;
    closeCompletion(view);
    callbacks.onRun();
    return true;
  };
  const runKeys = Prec.high(
    keymap.of([
      { key: 'Enter', run },
      { key: 'Mod-Enter', run },
      { key: 'Shift-Enter', run: insertNewline },
    ]),
  );
  const escape = keymap.of([
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
        escape,
        keymap.of([...historyKeymap, ...defaultKeymap]),
        kql(),
        EditorView.lineWrapping,
        replaceSelection,
        EditorView.cspNonce.of(cspNonce()),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) callbacks.onChange(update.state.doc.toString());
        }),
        texts.of(textExtensions(initialTexts)),
      ],
    }),
  });
}

/**
 * Typing over a selection. Left to the browser, it copies the colours of what it replaces as inline
 * styles, which the content policy refuses.
 */
const replaceSelection = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { from, to, empty } = view.state.selection.main;
    const text = event.data;
    if (event.inputType !== 'insertText' || empty || !text || view.composing) return false;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: 'input.type' });
    const handlers = view.state.facet(EditorView.inputHandler);
    if (!handlers.some((handle) => handle(view, from, to, text, insert))) view.dispatch(insert());
    event.preventDefault();
    return true;
  },
});

export function setEditorText(view: EditorView, text: string): void {
  if (view.state.doc.toString() === text) return;
  view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
}

export function setEditorTexts(view: EditorView, changed: EditorTexts): void {
  view.dispatch({ effects: texts.reconfigure(textExtensions(changed)) });
}
