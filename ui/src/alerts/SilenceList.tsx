import { useState, type FormEvent } from 'react';
import { addSilence, expireSilence, type Silence } from '../api/alerts';
import { Failure } from '../components/EmptyState';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { shortDateTime } from '../time/format';
import { useChange, useSilences } from './queries';

export function SilenceList() {
  const t = useMessages();
  const silences = useSilences();
  if (silences.error && !silences.data)
    return <Failure error={silences.error} onRetry={() => void silences.refetch()} />;
  const shown = silences.data?.silences.filter((silence) => silence.state !== 'expired') ?? [];
  return (
    <section className="alerts-panel" aria-label={t.alertSilences}>
      <NewSilence />
      {silences.data && shown.length === 0 && <p className="empty">{t.silenceNone}</p>}
      <ul className="rules">
        {shown.map((silence) => (
          <SilenceRow key={silence.id} silence={silence} />
        ))}
      </ul>
    </section>
  );
}

function NewSilence() {
  const t = useMessages();
  const [matchers, setMatchers] = useState('');
  const [length, setLength] = useState('2h');
  const [comment, setComment] = useState('');
  const add = useChange(
    () =>
      addSilence(
        matchers.split('\n').filter((line) => line.trim()),
        length.trim(),
        comment.trim(),
      ),
    () => {
      setMatchers('');
      setComment('');
    },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    add.mutate(undefined);
  };
  return (
    <form className="alert-form" onSubmit={submit}>
      <label>
        <span>{t.silenceMatchers}</span>
        <textarea
          className="input is-mono"
          rows={2}
          value={matchers}
          placeholder={'alertname=errors\nnamespace=~"shop|cart"'}
          onChange={(event) => setMatchers(event.target.value)}
        />
      </label>
      <label className="is-short">
        <span>{t.silenceLength}</span>
        <input className="input" value={length} onChange={(event) => setLength(event.target.value)} />
      </label>
      <label>
        <span>{t.silenceComment}</span>
        <input className="input" value={comment} onChange={(event) => setComment(event.target.value)} />
      </label>
      <button type="submit" className="button is-primary" disabled={!matchers.trim() || add.isPending}>
        {t.silenceAdd}
      </button>
      {add.error && (
        <p className="notice is-error" role="alert">
          {add.error.message}
        </p>
      )}
    </form>
  );
}

function SilenceRow({ silence }: { silence: Silence }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const expire = useChange(expireSilence);
  return (
    <li className="rule">
      <div className="rule-head">
        <code>{silence.matchers.join('  ')}</code>
        <span className="hint">
          {t.silenceUntil(shortDateTime(Date.parse(silence.ends), timeZone, locale))}
        </span>
        <span className="hint">{t.silenceHolds(String(silence.alerts))}</span>
        <span>{silence.comment}</span>
        <div className="spacer" />
        <button type="button" className="button is-quiet" onClick={() => expire.mutate(silence.id)}>
          {t.silenceExpire}
        </button>
      </div>
    </li>
  );
}
