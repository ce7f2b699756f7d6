import { useState } from 'react';
import { addSilence, expireSilence, putRule, removeRule, type Alert, type Rule } from '../api/alerts';
import { Failure } from '../components/EmptyState';
import { Icon } from '../components/Icon';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { DEFAULT_LIMIT, navigate } from '../state/url';
import { shortDateTime } from '../time/format';
import { labelsText, matchersOf } from './model';
import { useChange, useRules, useSilences } from './queries';
import { StateChip } from './StateChip';

/** How long the button silences; another length is typed under "silences". */
const SILENCE_LENGTH = '2h';

/** Rules, those that need somebody first. */
const ORDER = ['firing', 'pending', 'error', 'broken', 'no_data', 'ok', 'off'];

export function RuleList() {
  const t = useMessages();
  const rules = useRules();
  if (rules.error && !rules.data) return <Failure error={rules.error} onRetry={() => void rules.refetch()} />;
  if (!rules.data) return <p className="empty">{t.loading}</p>;
  const sorted = rules.data.rules.toSorted(
    (a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state) || a.name.localeCompare(b.name),
  );
  return (
    <section className="alerts-panel" aria-label={t.alertRules}>
      <div className="alerts-bar">
        <button type="button" className="button is-primary" onClick={() => navigate({ rule: '' })}>
          <Icon name="plus" />
          {t.alertNew}
        </button>
      </div>
      {sorted.length === 0 && (
        <div className="empty">
          <h2>{t.alertNoneTitle}</h2>
          <p>{t.alertNoneText}</p>
        </div>
      )}
      <ul className="rules">
        {sorted.map((rule) => (
          <RuleRow key={rule.name} rule={rule} />
        ))}
      </ul>
    </section>
  );
}

function RuleRow({ rule }: { rule: Rule }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const { evaluation, settings } = rule;
  const remove = useChange(removeRule);
  const toggle = useChange((enabled: boolean) =>
    putRule(rule.name, { ...(settings ?? { query: '*' }), enabled }, false),
  );
  const [asked, setAsked] = useState(false);
  const failed = remove.error ?? toggle.error;
  return (
    <li className="rule">
      <div className="rule-head">
        <StateChip state={rule.state} />
        <h2>{rule.name}</h2>
        <span className="rule-value">
          {rule.kind === 'absent'
            ? t.alertAbsent
            : `${evaluation.value_text || '–'} · ${rule.threshold ?? ''}`}
        </span>
        <span className="hint">
          {evaluation.at
            ? t.alertEvaluated(shortDateTime(Date.parse(evaluation.at), timeZone, locale))
            : t.alertNever}
        </span>
        <div className="spacer" />
        {rule.origin === 'file' ? (
          <span className="hint">{t.alertInFile}</span>
        ) : (
          <>
            {settings && (
              <button
                type="button"
                className="button is-quiet"
                onClick={() => toggle.mutate(settings.enabled === false)}
              >
                {settings.enabled === false ? t.alertTurnOn : t.alertTurnOff}
              </button>
            )}
            <button type="button" className="button is-quiet" onClick={() => navigate({ rule: rule.name })}>
              {t.alertEdit}
            </button>
            <button
              type="button"
              className="button is-quiet"
              onClick={() => (asked ? remove.mutate(rule.name) : setAsked(true))}
              onBlur={() => setAsked(false)}
            >
              {asked ? t.alertReallyRemove : t.alertRemove}
            </button>
          </>
        )}
      </div>
      {settings && (
        <p className="rule-query">
          <code>{settings.query}</code>
          <span className="hint">{[settings.window, ...(settings.group_by ?? [])].join(' · ')}</span>
          <span className="hint">→ {(settings.notify ?? []).join(', ') || t.alertNobody}</span>
        </p>
      )}
      {rule.problem && <pre className="rule-problem">{rule.problem}</pre>}
      {evaluation.error && <p className="notice is-error">{evaluation.error}</p>}
      {failed && <p className="notice is-error">{failed.message}</p>}
      {evaluation.missed > 0 && <p className="notice">{t.alertMissed(String(evaluation.missed))}</p>}
      {evaluation.groups_left_out > 0 && (
        <p className="notice">{t.alertLeftOut(String(evaluation.groups_left_out))}</p>
      )}
      {rule.alerts.length > 0 && (
        <ul className="alert-groups">
          {rule.alerts.map((alert) => (
            <AlertRow key={alert.fingerprint} alert={alert} />
          ))}
        </ul>
      )}
    </li>
  );
}

function AlertRow({ alert }: { alert: Alert }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const silence = useChange(() => addSilence(matchersOf(alert.labels), SILENCE_LENGTH, ''));
  const isSilenced = alert.silenced_by.length > 0;
  const look = () =>
    navigate({
      room: 'search',
      query: alert.query,
      filters: [],
      from: alert.from,
      to: alert.to,
      order: 'desc',
      limit: DEFAULT_LIMIT,
      live: false,
    });
  return (
    <li className="alert-group">
      <StateChip state={alert.state === 'resolved' ? 'ok' : alert.state} />
      <span>{alert.summary}</span>
      <span className="hint">{labelsText(alert.labels)}</span>
      <span className="hint">{t.alertSince(shortDateTime(Date.parse(alert.since), timeZone, locale))}</span>
      {isSilenced && <Silenced ids={alert.silenced_by} />}
      <div className="spacer" />
      <button type="button" className="button is-quiet" onClick={look}>
        {t.alertLook}
      </button>
      {!isSilenced && (
        <button type="button" className="button is-quiet" onClick={() => silence.mutate(undefined)}>
          {t.alertSilenceFor(SILENCE_LENGTH)}
        </button>
      )}
      {silence.error && <p className="notice is-error">{silence.error.message}</p>}
    </li>
  );
}

/** Until when nobody is told of an alert, and the end of it. */
function Silenced({ ids }: { ids: string[] }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const [asked, setAsked] = useState(false);
  const silences = useSilences().data?.silences.filter(({ id }) => ids.includes(id)) ?? [];
  const end = useChange(() => Promise.all(ids.map(expireSilence)));
  const until = Math.max(...silences.map(({ ends }) => Date.parse(ends)));
  // What holds for other alerts too is not ended by one click.
  const alerts = Math.max(1, ...silences.map((silence) => silence.alerts));
  const text = asked ? t.alertReallyUnsilence(String(alerts)) : t.alertUnsilence;
  return (
    <>
      <span className="notice">
        {silences.length > 0 ? t.alertSilencedUntil(shortDateTime(until, timeZone, locale)) : t.alertSilenced}
      </span>
      <button
        type="button"
        className="button is-quiet"
        disabled={end.isPending || silences.length === 0}
        onClick={() => (asked || alerts === 1 ? end.mutate(undefined) : setAsked(true))}
        onBlur={() => setAsked(false)}
      >
        {text}
      </button>
      {end.error && <p className="notice is-error">{end.error.message}</p>}
    </>
  );
}
