import type { EditorView } from '@codemirror/view';
import { useQueryClient } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { listFields, topValues } from '../api/client';
import { useMessages } from '../i18n';
import type { CompletionSource } from '../query/complete';
import { createEditor, setEditorText, setEditorTexts } from '../query/editor';
import { isTyping } from '../state/keys';
import { getPrefs } from '../state/prefs';
import type { Run } from '../state/search';
import { formatCount } from '../time/format';
import { Icon } from './Icon';

export interface QueryBarProps {
  query: string;
  run: Run;
  isRunning: boolean;
  onRun: (query: string) => void;
  onCancel: () => void;
}

/** Suggestions for values offered at a time. */
const VALUE_COUNT = 20;

function useCompletion(run: Run): CompletionSource {
  const client = useQueryClient();
  const runRef = useRef(run);
  useEffect(() => {
    runRef.current = run;
  }, [run]);
  return useRef<CompletionSource>({
    async fields(signal) {
      const scope = { ...runRef.current.scope, query: '' };
      const queryKey = ['fields-completion', scope];
      const answer = await client.fetchQuery({
        queryKey,
        queryFn: () => listFields(scope, signal),
        retry: false,
      });
      return answer.fields;
    },
    async values(field, prefix, signal) {
      const scope = { ...runRef.current.scope, query: '' };
      return (await topValues(scope, { field, prefix, limit: VALUE_COUNT }, signal)).values;
    },
    formatCount: (count) => formatCount(count, getPrefs().locale),
  }).current;
}

export function QueryBar({ query, run, isRunning, onRun, onCancel }: QueryBarProps) {
  const t = useMessages();
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const completion = useCompletion(run);
  const draft = useRef(query);
  const handlers = useRef({ onRun });
  const texts = useRef({ label: t.queryLabel, placeholder: t.queryPlaceholder });
  useEffect(() => {
    handlers.current = { onRun };
  }, [onRun]);

  useEffect(() => {
    if (!host.current) return;
    const callbacks = {
      onRun: () => handlers.current.onRun(draft.current),
      onChange: (text: string) => (draft.current = text),
      onEscape: () => view.current?.contentDOM.blur(),
    };
    const editor = createEditor(host.current, draft.current, callbacks, completion, texts.current);
    view.current = editor;
    return () => editor.destroy();
  }, [completion]);

  useEffect(() => {
    if (view.current) setEditorText(view.current, query);
  }, [query]);

  useEffect(() => {
    const changed = { label: t.queryLabel, placeholder: t.queryPlaceholder };
    if (view.current) setEditorTexts(view.current, changed);
  }, [t]);

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== '/' || isTyping(event)) return;
      event.preventDefault();
      view.current?.focus();
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);

  return (
    <div className="querybar">
      <span className="querybar-icon">
        <Icon name="search" />
      </span>
      <div className="querybar-editor" ref={host} />
      {isRunning ? (
        <button type="button" className="button" onClick={onCancel}>
          <Icon name="close" />
          {t.cancel}
        </button>
      ) : (
        <button type="button" className="button is-primary" onClick={() => onRun(draft.current)}>
          <Icon name="play" />
          {t.run}
        </button>
      )}
    </div>
  );
}
