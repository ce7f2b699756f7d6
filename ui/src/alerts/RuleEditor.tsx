import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useMemo, useState, type FormEvent, type ReactNode } from 'react';
import { previewRule, putRule, type Rule, type RuleSettings } from '../api/alerts';
import { Segmented } from '../components/Segmented';
import { useMessages } from '../i18n';
import { combine } from '../query/filters';
import { useUrlState } from '../state/url';
import {
  DEFAULT_THRESHOLD,
  draftFrom,
  draftOf,
  settingsOf,
  SEVERITIES,
  type Draft,
  type Kind,
} from './model';
import { PreviewView } from './PreviewView';
import { useChange, useNotifiers, useRules } from './queries';

export interface RuleEditorProps {
  /** The rule to change; empty for a new one about the current search. */
  name: string;
  onClose: () => void;
}

const PREVIEW_CHOICES = ['6h', '24h', '7d'] as const;
type Over = (typeof PREVIEW_CHOICES)[number];
/** While somebody types, nothing is asked. */
const TYPING_MS = 400;

export function RuleEditor({ name, onClose }: RuleEditorProps) {
  const t = useMessages();
  const rules = useRules();
  const { query, filters } = useUrlState();
  const rule = rules.data?.rules.find((one) => one.name === name);
  if (name && !rule) return <p className="empty">{rules.data ? t.alertNotThere : t.loading}</p>;
  const draft = rule ? draftOf(rule) : draftFrom(combine(query, filters));
  return <Editor rule={rule} start={draft} onClose={onClose} />;
}

function Editor({ rule, start, onClose }: { rule: Rule | undefined; start: Draft; onClose: () => void }) {
  const t = useMessages();
  const [draft, setDraft] = useState(start);
  const [over, setOver] = useState<Over>('6h');
  const set = (patch: Partial<Draft>) => setDraft((old) => ({ ...old, ...patch }));
  const settings = useMemo(() => settingsOf(draft, rule?.settings), [draft, rule?.settings]);
  const preview = usePreview(settings, over);
  const save = useChange(() => putRule(draft.name.trim(), settings, !rule), onClose);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate(undefined);
  };
  const error = save.error ?? preview.error;
  return (
    <section className="alerts-panel" aria-label={rule ? t.alertChange : t.alertNew}>
      <form className="alert-form" onSubmit={submit}>
        <h2>{rule ? t.alertChange : t.alertNew}</h2>
        <Condition draft={draft} isNew={!rule} set={set} />
        <Telling draft={draft} set={set} />
        {error && (
          <pre className="rule-problem" role="alert">
            {error.message}
          </pre>
        )}
        <div className="alert-actions">
          <button type="submit" className="button is-primary" disabled={save.isPending || !draft.name.trim()}>
            {t.alertSave}
          </button>
          <button type="button" className="button" onClick={onClose}>
            {t.cancel}
          </button>
        </div>
      </form>
      <div className="preview">
        <Segmented
          label={t.previewOver}
          value={over}
          options={PREVIEW_CHOICES.map((choice) => [choice, choice] as const)}
          onChange={setOver}
        />
        {preview.data && <PreviewView preview={preview.data} isRatio={draft.kind === 'ratio'} />}
      </div>
    </section>
  );
}

/** What the rule would have said, asked when nobody has typed for a moment. */
function usePreview(settings: RuleSettings, over: Over) {
  const asked = JSON.stringify({ ...settings, notify: [] });
  const [quiet, setQuiet] = useState(asked);
  useEffect(() => {
    const timer = setTimeout(() => setQuiet(asked), TYPING_MS);
    return () => clearTimeout(timer);
  }, [asked]);
  return useQuery({
    queryKey: ['preview', quiet, over],
    queryFn: ({ signal }) => previewRule(JSON.parse(quiet) as RuleSettings, over, signal),
    placeholderData: keepPreviousData,
    retry: false,
  });
}

interface PartProps {
  draft: Draft;
  set: (patch: Partial<Draft>) => void;
}

function Condition({ draft, isNew, set }: PartProps & { isNew: boolean }) {
  const t = useMessages();
  const kinds: [Kind, string][] = [
    ['count', t.alertKindCount],
    ['ratio', t.alertKindRatio],
    ['absent', t.alertKindAbsent],
  ];
  return (
    <>
      <Field label={t.alertName} short>
        <input
          className="input"
          value={draft.name}
          disabled={!isNew}
          onChange={(e) => set({ name: e.target.value })}
        />
      </Field>
      <Field label={t.queryLabel}>
        <textarea
          className="input is-mono"
          rows={2}
          value={draft.query}
          onChange={(e) => set({ query: e.target.value })}
        />
      </Field>
      <Segmented
        label={t.alertKind}
        value={draft.kind}
        options={kinds}
        onChange={(kind) => set({ kind, threshold: DEFAULT_THRESHOLD[kind] })}
      />
      {draft.kind !== 'absent' && (
        <Field label={t.alertThreshold} short>
          <input
            className="input is-mono"
            value={draft.threshold}
            onChange={(e) => set({ threshold: e.target.value })}
          />
        </Field>
      )}
      {draft.kind === 'ratio' && (
        <Field label={t.alertBase}>
          <input
            className="input is-mono"
            value={draft.base}
            placeholder="*"
            onChange={(e) => set({ base: e.target.value })}
          />
        </Field>
      )}
      <Field label={t.alertWindow} short>
        <input
          className="input is-mono"
          value={draft.window}
          onChange={(e) => set({ window: e.target.value })}
        />
      </Field>
      <Field label={t.alertFor} short>
        <input className="input is-mono" value={draft.hold} onChange={(e) => set({ hold: e.target.value })} />
      </Field>
      <Field label={t.alertGroupBy}>
        <input
          className="input is-mono"
          value={draft.groupBy}
          placeholder="namespace, pod"
          onChange={(e) => set({ groupBy: e.target.value })}
        />
      </Field>
    </>
  );
}

function Telling({ draft, set }: PartProps) {
  const t = useMessages();
  const notifiers = useNotifiers();
  const toggle = (name: string) =>
    set({
      notify: draft.notify.includes(name)
        ? draft.notify.filter((one) => one !== name)
        : [...draft.notify, name],
    });
  return (
    <>
      <Segmented
        label={t.alertSeverity}
        value={draft.severity}
        options={SEVERITIES.map((severity) => [severity, severity] as const)}
        onChange={(severity) => set({ severity })}
      />
      <fieldset className="alert-notify">
        <legend>{t.alertNotify}</legend>
        {notifiers.data?.notifiers.map(({ name, type }) => (
          <label key={name} className="alert-check">
            <input type="checkbox" checked={draft.notify.includes(name)} onChange={() => toggle(name)} />
            <span>
              {name} {type !== name && <span className="hint">{type}</span>}
            </span>
          </label>
        ))}
        {notifiers.data?.notifiers.length === 0 && <span className="hint">{t.notifierNone}</span>}
      </fieldset>
      <Field label={t.alertSummary}>
        <input
          className="input"
          value={draft.summary}
          placeholder="{{ value }} errors in {{ window }}"
          onChange={(e) => set({ summary: e.target.value })}
        />
      </Field>
    </>
  );
}

function Field({ label, short, children }: { label: string; short?: boolean; children: ReactNode }) {
  return (
    <label className={short ? 'is-short' : ''}>
      <span>{label}</span>
      {children}
    </label>
  );
}
