import type { Lane } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, formatCount, shortDateTime } from '../time/format';
import { Table } from './Table';

/** What waits in front of outputs, and what their targets refused. */
export function Buffers({ buffers }: { buffers: { output: string; lanes: Lane[] }[] }) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const laneNames = { urgent: t.laneUrgent, normal: t.laneNormal, dead: t.laneDead };
  return (
    <section className="pipeline-part" aria-labelledby="buffers-title">
      <h2 id="buffers-title">{t.buffers}</h2>
      {buffers.length === 0 ? (
        <p className="hint">{t.buffersNone}</p>
      ) : (
        <Table
          title={t.buffers}
          columns={[t.ledgerTo, t.bufferLane, t.inputRecords, t.bufferBytes, t.bufferOldest]}
        >
          {buffers.flatMap(({ output, lanes }) =>
            lanes.map((lane) => (
              <tr key={`${output} ${lane.lane}`}>
                <th scope="row">{output}</th>
                <td>{laneNames[lane.lane]}</td>
                <td className={lane.lane === 'dead' && lane.records > 0 ? 'is-bad' : undefined}>
                  {formatCount(lane.records, locale)}
                </td>
                <td>{formatBytes(lane.bytes)}</td>
                <td>{lane.oldest ? shortDateTime(Date.parse(lane.oldest), timeZone, locale) : '–'}</td>
              </tr>
            )),
          )}
        </Table>
      )}
    </section>
  );
}
