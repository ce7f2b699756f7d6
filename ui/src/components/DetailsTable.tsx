import { useState } from 'react';
import type { FieldValue, LogRecord } from '../api/types';
import { useMessages } from '../i18n';
import { stripAnsi } from '../list/ansi';
import { detailFields, valueText } from '../list/cells';
import type { Filter } from '../query/filters';
import { matchesWords } from '../query/words';
import { usePrefs } from '../state/prefs';
import { formatCount } from '../time/format';
import { CopyButton } from './CopyButton';
import { IconButton } from './IconButton';

export interface DetailsTableProps {
  record: LogRecord;
  columns: readonly string[];
  onFilter: (filter: Filter) => void;
  /** Asks for the value and for nothing else. */
  onSearch: (filter: Filter) => void;
  onToggleColumn: (column: string) => void;
}

/** A record may have 79,000 fields; mounting them all freezes the page. */
const SHOWN_AT_ONCE = 200;
const VALUE_CHARS_MAX = 10_000;

export function DetailsTable({ record, columns, onFilter, onSearch, onToggleColumn }: DetailsTableProps) {
  const t = useMessages();
  const { locale } = usePrefs();
  const [search, setSearch] = useState('');
  const [limit, setLimit] = useState(SHOWN_AT_ONCE);
  const fields = detailFields(record).filter(
    ([name, value]) => matchesWords(name, search) || matchesWords(valueText(value), search),
  );
  return (
    <>
      <input
        className="input details-filter"
        type="search"
        value={search}
        placeholder={t.detailsFilter}
        aria-label={t.detailsFilter}
        onChange={(event) => setSearch(event.target.value)}
      />
      <dl className="fieldlist">
        {fields.slice(0, limit).map(([name, value]) => (
          <FieldLine
            key={name}
            name={name}
            value={value}
            isColumn={columns.includes(name)}
            onFilter={onFilter}
            onSearch={onSearch}
            onToggleColumn={onToggleColumn}
          />
        ))}
      </dl>
      {fields.length > limit && (
        <button type="button" className="button is-quiet" onClick={() => setLimit(limit + SHOWN_AT_ONCE)}>
          {t.detailsMore(formatCount(Math.min(SHOWN_AT_ONCE, fields.length - limit), locale))}
        </button>
      )}
    </>
  );
}

interface FieldLineProps {
  name: string;
  value: FieldValue;
  isColumn: boolean;
  onFilter: (filter: Filter) => void;
  onSearch: (filter: Filter) => void;
  onToggleColumn: (column: string) => void;
}

/** The value a filter takes; a list is filtered by its first member. */
function filterValue(value: FieldValue): string | number | boolean | null {
  if (Array.isArray(value)) return filterValue(value[0] ?? null);
  if (typeof value === 'bigint') return value.toString();
  // An object has no value to compare with; its field's being there is what can be asked for.
  if (typeof value === 'object') return null;
  return value;
}

function FieldLine({ name, value, isColumn, onFilter, onSearch, onToggleColumn }: FieldLineProps) {
  const t = useMessages();
  const text = stripAnsi(valueText(value));
  const kind = typeof value === 'string' ? 'string' : value === null ? 'null' : 'number';
  const target = filterValue(value);
  const own = name.startsWith('_');
  return (
    <div className="fieldline">
      <dt title={name}>{name}</dt>
      <dd>
        <span className={`fieldvalue is-${kind}`}>
          {value === null
            ? 'null'
            : text.length > VALUE_CHARS_MAX
              ? `${text.slice(0, VALUE_CHARS_MAX)}…`
              : text}
        </span>
        <span className="fieldactions">
          {!own && name !== 'timestamp' && (
            <>
              <IconButton
                icon="plus"
                label={t.filterIn(name)}
                onClick={() => onFilter({ field: name, value: target, negated: false })}
              />
              <IconButton
                icon="minus"
                label={t.filterOut(name)}
                onClick={() => onFilter({ field: name, value: target, negated: true })}
              />
              <IconButton
                icon="search"
                label={t.searchAlone(name)}
                onClick={() => onSearch({ field: name, value: target, negated: false })}
              />
              <IconButton
                icon="columns"
                label={isColumn ? t.columnRemove(name) : t.columnAdd(name)}
                pressed={isColumn}
                onClick={() => onToggleColumn(name)}
              />
            </>
          )}
          <CopyButton icon="copy" label={t.copyValue(name)} text={() => valueText(value)} />
        </span>
      </dd>
    </div>
  );
}
