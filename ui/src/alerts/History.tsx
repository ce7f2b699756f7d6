import { useState } from 'react';
import { testNotifier, type Notifier, type Past } from '../api/alerts';
import { Failure } from '../components/EmptyState';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { shortDateTime } from '../time/format';
import { useChange, useHistory, useNotifiers } from './queries';

export function History() {
  const t = useMessages();
  const history = useHistory();
  const notifiers = useNotifiers();
  if (history.error && !history.data)
    return <Failure error={history.error} onRetry={() => void history.refetch()} />;
  const rows = [...(history.data?.waiting ?? []), ...(history.data?.history ?? [])];
  return (
    <section className="alerts-panel" aria-label={t.alertHistory}>
      <ul className="notifiers" aria-label={t.alertNotifiers}>
        {notifiers.data?.notifiers.map((notifier) => (
          <NotifierRow key={notifier.name} notifier={notifier} />
        ))}
      </ul>
      {notifiers.data?.notifiers.length === 0 && <p className="hint">{t.notifierNone}</p>}
      {history.data && rows.length === 0 && <p className="empty">{t.historyNone}</p>}
      {rows.length > 0 && (
        <div className="table-scroll" tabIndex={0} role="group" aria-label={t.alertHistory}>
          <table className="history">
            <thead>
              <tr>
                <th scope="col">{t.columnTime}</th>
                <th scope="col">{t.historyNotifier}</th>
                <th scope="col">{t.historyWhat}</th>
                <th scope="col">{t.historyOutcome}</th>
              </tr>
            </thead>
            <tbody>
              {rows.map((past) => (
                <PastRow key={past.id} past={past} />
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function PastRow({ past }: { past: Past }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const words = {
    delivered: t.outcomeDelivered,
    rejected: t.outcomeRejected,
    dropped: t.outcomeDropped,
    waiting: t.outcomeWaiting,
  };
  const status = past.test ? t.historyTest : past.status === 'firing' ? t.alertStateFiring : t.alertOver;
  const more = past.alerts > 1 ? ` (+${past.alerts - 1})` : '';
  return (
    <tr>
      <td>{shortDateTime(Date.parse(past.created), timeZone, locale)}</td>
      <td>{past.notifier}</td>
      <td>
        <b>{status}</b> {past.summary}
        {more}
      </td>
      <td className={past.outcome === 'delivered' ? '' : 'is-bad'}>
        {words[past.outcome]}
        {past.reason && <div className="hint">{past.reason}</div>}
      </td>
    </tr>
  );
}

function NotifierRow({ notifier }: { notifier: Notifier }) {
  const t = useMessages();
  const [said, setSaid] = useState<string | null>(null);
  const test = useChange(async () => {
    setSaid(null);
    const { result, last_error: error } = await testNotifier(notifier.name);
    setSaid(
      result?.outcome === 'delivered' ? t.outcomeDelivered : (result?.reason ?? error ?? t.outcomeWaiting),
    );
  });
  return (
    <li className="notifier">
      <b>{notifier.name}</b>
      {notifier.type !== notifier.name && <span className="hint">{notifier.type}</span>}
      {notifier.waiting > 0 && <span className="notice">{t.notifierWaiting(String(notifier.waiting))}</span>}
      {notifier.failures > 0 && notifier.last_error && (
        <span className="notice is-error">{notifier.last_error.message}</span>
      )}
      <button
        type="button"
        className="button is-quiet"
        disabled={test.isPending}
        onClick={() => test.mutate(undefined)}
      >
        {t.notifierTest}
      </button>
      <span role="status">{test.error?.message ?? said}</span>
    </li>
  );
}
