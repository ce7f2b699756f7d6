import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { Tab, TabList, TabPanel, Tabs } from 'react-aria-components';
import { getRecord } from '../api/client';
import type { LogRecord } from '../api/types';
import { useMessages } from '../i18n';
import { ansiRuns } from '../list/ansi';
import { levelName, valueText } from '../list/cells';
import type { Filter } from '../query/filters';
import { usePrefs } from '../state/prefs';
import { linkTo, navigate, type SearchState } from '../state/url';
import { fullTime, zoneName } from '../time/format';
import { absoluteRange } from '../time/range';
import { prettyRecord } from '../list/json';
import { CopyButton } from './CopyButton';
import { DetailsTable } from './DetailsTable';
import { IconButton } from './IconButton';

export interface DetailsProps {
  id: string;
  /** What the list has of it, shown until the whole record is there. */
  listed: LogRecord | null;
  columns: readonly string[];
  onMove: (delta: number) => void;
  onClose: () => void;
  onFilter: (filter: Filter) => void;
  onSearch: (filter: Filter) => void;
  onToggleColumn: (column: string) => void;
}

/** A shared link leads to the record and to a little of what lies around it. */
const LINK_MARGIN_MS = 5 * 60_000;

function permalink(record: LogRecord): string {
  const at = Date.parse(record.timestamp);
  return linkTo({
    record: record._id,
    live: false,
    ...absoluteRange(at - LINK_MARGIN_MS, at + LINK_MARGIN_MS),
  });
}

const CONTEXT_MARGIN_MS = 30_000;
const CONTEXT_LIMIT = 2000;
/** What tells the lines of one container from all others; a file on a host has only its path. */
const CONTEXT_FIELDS = ['node', 'namespace', 'pod', 'container', 'source'];

/** The search for what came before and after a record in the same place, without the current filter. */
function surroundings(record: LogRecord): Partial<SearchState> {
  const at = Date.parse(record.timestamp);
  const names = record.pod ? CONTEXT_FIELDS.slice(0, 4) : CONTEXT_FIELDS;
  const filters = names.flatMap((field): Filter[] => {
    const value = record[field];
    return typeof value === 'string' ? [{ field, value, negated: false }] : [];
  });
  const range = absoluteRange(at - CONTEXT_MARGIN_MS, at + CONTEXT_MARGIN_MS);
  return {
    query: '',
    filters,
    ...range,
    order: 'asc',
    limit: CONTEXT_LIMIT,
    live: false,
    record: record._id,
  };
}

export function Details(props: DetailsProps) {
  const { id, listed, onMove, onClose } = props;
  const t = useMessages();
  const { timeZone } = usePrefs();
  const [tab, setTab] = useState('table');
  const whole = useQuery({
    queryKey: ['record', id],
    queryFn: ({ signal }) => getRecord(id, signal),
    retry: false,
  });
  const record = whole.data ?? listed;
  const level = valueText(record?.level);
  return (
    <aside className="details" aria-label={t.details}>
      <header className="details-head">
        <div className="details-title">
          {level && <span className={`badge level-${levelName(level)}`}>{level}</span>}
          <time title={zoneName(timeZone)}>
            {record ? fullTime(record.timestamp, timeZone) : whole.error ? t.details : t.loading}
          </time>
        </div>
        <IconButton icon="up" label={t.detailsPrevious} onClick={() => onMove(-1)} />
        <IconButton icon="down" label={t.detailsNext} onClick={() => onMove(1)} />
        {record && (
          <IconButton
            icon="context"
            label={t.detailsContext}
            onClick={() => navigate(surroundings(record))}
          />
        )}
        {record && <CopyButton icon="link" label={t.detailsLink} text={() => permalink(record)} />}
        <IconButton icon="close" label={`${t.close} (Esc)`} onClick={onClose} />
      </header>
      {whole.error && <p className="notice is-error">{listed ? t.detailsFailed : whole.error.message}</p>}
      {record && (
        <Tabs className="tabs" selectedKey={tab} onSelectionChange={(key) => setTab(String(key))}>
          <TabList aria-label={t.details} className="tablist">
            <Tab id="table">{t.detailsTable}</Tab>
            <Tab id="json">{t.detailsJson}</Tab>
            <Tab id="raw">{t.detailsRaw}</Tab>
          </TabList>
          <TabPanel id="table" className="tabpanel">
            <DetailsTable key={id} record={record} {...props} />
          </TabPanel>
          <TabPanel id="json" className="tabpanel">
            <TextPane text={prettyRecord(record)} />
          </TabPanel>
          <TabPanel id="raw" className="tabpanel">
            <RawPane record={record} />
          </TabPanel>
        </Tabs>
      )}
    </aside>
  );
}

/** A browser lays out a text of many megabytes for seconds. */
const SHOWN_CHARS_MAX = 200_000;

function TextPane({ text }: { text: string }) {
  const t = useMessages();
  return (
    <div className="textpane">
      <CopyButton icon="copy" label={t.detailsCopy} text={() => text} />
      <pre>{text.length > SHOWN_CHARS_MAX ? `${text.slice(0, SHOWN_CHARS_MAX)}…` : text}</pre>
    </div>
  );
}

function RawPane({ record }: { record: LogRecord }) {
  const t = useMessages();
  // Where nothing was taken from the line, it is the message.
  const raw = record._original ?? record.message;
  if (typeof raw !== 'string') return <p className="hint">{t.detailsNoRaw}</p>;
  return (
    <div className="textpane">
      <CopyButton icon="copy" label={t.detailsCopy} text={() => raw} />
      <pre>
        {ansiRuns(raw.slice(0, SHOWN_CHARS_MAX)).map((run, i) => (
          <span key={i} className={run.className || undefined}>
            {run.text}
          </span>
        ))}
      </pre>
    </div>
  );
}
