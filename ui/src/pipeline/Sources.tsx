/** What became of each file: how far it is, and which rules took its records. */
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { readSources, type LeftOut, type SourceBook } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, formatCount } from '../time/format';
import { Endings } from './Endings';
import { byOutput, placeOf } from './model';
import { Table } from './Table';

/** Files in the table; the text above it finds the others. */
const SOURCES_MAX = 50;

const REFRESH_MS = 5000;

/** How long nothing is typed before it is asked for: each question is work for whoever reads the files. */
const TYPED_MS = 300;

export function Sources() {
  const t = useMessages();
  const { locale } = usePrefs();
  const [typed, setTyped] = useState('');
  const [path, setPath] = useState('');
  useEffect(() => {
    const wait = setTimeout(() => setPath(typed), TYPED_MS);
    return () => clearTimeout(wait);
  }, [typed]);
  const { data } = useQuery({
    queryKey: ['pipeline', 'sources', path],
    queryFn: ({ signal }) => readSources(path, SOURCES_MAX, signal),
    refetchInterval: REFRESH_MS,
    placeholderData: keepPreviousData,
    staleTime: 0,
  });
  if (!data || (data.count === 0 && path === '' && typed === '')) return null;
  const more = data.count - data.sources.length;
  return (
    <section className="pipeline-part" aria-labelledby="sources-title">
      <h2 id="sources-title">{t.sources}</h2>
      <p className="hint">{t.sourcesHint}</p>
      <input
        className="input sources-path"
        type="search"
        value={typed}
        placeholder={t.sourcesPath}
        aria-label={t.sourcesPath}
        onChange={(event) => setTyped(event.target.value)}
      />
      <Table title={t.sources} columns={[t.sourceName, t.sourceEnded, t.sourceLeftOut, t.inputBehind]}>
        {data.sources.map((source) => (
          <SourceRow key={`${source.input} ${source.source}`} source={source} />
        ))}
        {data.others.map(({ input, left_out }) => (
          <tr key={input}>
            <th scope="row">
              <i>{t.sourcesOthers(input)}</i>
            </th>
            <td>–</td>
            <td>
              <LeftOutList leftOut={left_out} />
            </td>
            <td>–</td>
          </tr>
        ))}
      </Table>
      {more > 0 && <p className="hint">{t.sourcesMore(formatCount(more, locale))}</p>}
    </section>
  );
}

function SourceRow({ source }: { source: SourceBook }) {
  const { name, file } = placeOf(source.path);
  return (
    <tr className={source.closes ? undefined : 'is-open'}>
      <th scope="row" title={source.path}>
        {name} {file && <span className="hint">{file}</span>}
      </th>
      <td>{formatBytes(source.ended.bytes)}</td>
      <td>
        <LeftOutList leftOut={source.left_out} />
      </td>
      <td>{source.unread === null ? '–' : formatBytes(source.unread)}</td>
    </tr>
  );
}

/** For each output what it did not get. */
function LeftOutList({ leftOut }: { leftOut: LeftOut[] }) {
  return byOutput(leftOut).map(([output, endings]) => (
    <div key={output} className="left-out">
      <span className="hint">{output}</span> <Endings endings={endings} />
    </div>
  ));
}
