import type { Ending } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, formatCount } from '../time/format';
import { inSize, isLoss } from './model';

/** Fates with their rules and how many records had them, the largest first. */
export function Endings({ endings }: { endings: Ending[] }) {
  const t = useMessages();
  const { locale } = usePrefs();
  return (
    <ul className="endings">
      {inSize(endings).map((ending) => (
        <li
          key={`${ending.fate} ${ending.rule}`}
          className={isLoss(ending.fate) ? 'ending is-loss' : 'ending'}
          title={formatBytes(ending.bytes)}
        >
          {fateName(t, ending.fate)}
          {ending.rule && <code>{ending.rule}</code>} <b>{formatCount(ending.records, locale)}</b>
        </li>
      ))}
    </ul>
  );
}

function fateName(t: ReturnType<typeof useMessages>, fate: string): string {
  const names: Record<string, string> = {
    delivered: t.fateDelivered,
    buffered: t.fateBuffered,
    filtered: t.fateFiltered,
    sampled: t.fateSampled,
    aggregated: t.fateAggregated,
    deduplicated: t.fateDeduplicated,
    shed: t.fateShed,
    dead_lettered: t.fateDeadLettered,
    joined: t.fateJoined,
  };
  return names[fate] ?? fate;
}
