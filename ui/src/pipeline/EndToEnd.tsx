import type { Checkpoint, Peer, Taken } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, shortDateTime } from '../time/format';
import { missingFirst } from './model';
import { Table } from './Table';

/** What other Sawyers have taken, and whether it is there; nothing where none is involved. */
export function EndToEnd({ checkpoints, peers }: { checkpoints: Checkpoint[]; peers: Peer[] }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  if (checkpoints.length === 0 && peers.length === 0) return null;
  return (
    <section className="pipeline-part" aria-labelledby="end-to-end-title">
      <h2 id="end-to-end-title">{t.endToEnd}</h2>
      <p className="hint">{t.endToEndHint}</p>
      <Table
        title={t.endToEnd}
        columns={[t.ledgerFrom, t.ledgerTo, t.takenConfirmed, t.takenOpen, t.takenUnknown, t.takenMissing]}
      >
        {checkpoints.map(({ output, taken, open_since }) => (
          <TakenRow
            key={output}
            from={t.endToEndHere}
            to={output}
            taken={taken}
            since={open_since ? shortDateTime(Date.parse(open_since), timeZone, locale) : undefined}
          />
        ))}
        {missingFirst(peers).map(({ agent, output, taken }) => (
          <TakenRow key={`${agent} ${output}`} from={agent} to={output} taken={taken} />
        ))}
      </Table>
    </section>
  );
}

function TakenRow({ from, to, taken, since }: { from: string; to: string; taken: Taken; since?: string }) {
  return (
    <tr className={taken.missing === 0 ? undefined : 'is-open'}>
      <th scope="row">{from}</th>
      <td>{to}</td>
      <td>{formatBytes(taken.confirmed)}</td>
      <td>
        {formatBytes(taken.open)} {since && <span className="hint">{since}</span>}
      </td>
      <td>{formatBytes(taken.unknown)}</td>
      <td>{formatBytes(taken.missing)}</td>
    </tr>
  );
}
