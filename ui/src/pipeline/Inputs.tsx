import type { InputStatus } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, formatCount } from '../time/format';
import { Table } from './Table';

/** What is read, and how far behind reading is. */
export function Inputs({ inputs }: { inputs: Record<string, InputStatus> }) {
  const t = useMessages();
  const { locale } = usePrefs();
  const number = (value: number | undefined) => (value === undefined ? '–' : formatCount(value, locale));
  const names = Object.keys(inputs).sort();
  if (names.length === 0) return null;
  return (
    <section className="pipeline-part" aria-labelledby="inputs-title">
      <h2 id="inputs-title">{t.inputs}</h2>
      <Table
        title={t.inputs}
        columns={[t.inputName, t.inputRecords, t.inputFiles, t.inputBehind, t.inputInDanger]}
      >
        {names.map((name) => {
          const input = inputs[name] ?? {};
          const danger = input.files_in_danger ?? 0;
          return (
            <tr key={name}>
              <th scope="row">{name}</th>
              <td>{number(input.records)}</td>
              <td>{number(input.files)}</td>
              <td>{input.bytes_behind === undefined ? '–' : formatBytes(input.bytes_behind)}</td>
              <td className={danger > 0 ? 'is-bad' : undefined}>{number(input.files_in_danger)}</td>
            </tr>
          );
        })}
      </Table>
    </section>
  );
}
