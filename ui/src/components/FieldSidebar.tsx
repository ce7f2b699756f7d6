import { memo, useState } from 'react';
import type { FieldInfo, FieldsAnswer } from '../api/types';
import { columnName, useMessages } from '../i18n';
import type { Filter } from '../query/filters';
import { usePrefs } from '../state/prefs';
import type { Run } from '../state/search';
import { formatCount } from '../time/format';
import { matchesWords } from '../query/words';
import { FieldValues } from './FieldValues';
import { Icon } from './Icon';
import { IconButton } from './IconButton';

export interface FieldSidebarProps {
  run: Run;
  answer: FieldsAnswer | undefined;
  columns: readonly string[];
  onFilter: (filter: Filter) => void;
  onToggleColumn: (column: string) => void;
  onHide: () => void;
}

/** A namespace may have thousands of fields; the page never mounts them all. */
const SHOWN_AT_ONCE = 200;

const TYPE_SIGNS: Readonly<Record<string, string>> = {
  string: 'Aa',
  integer: '12',
  float: '1.5',
  boolean: '0/1',
  timestamp: '◷',
  null: '∅',
};

export const FieldSidebar = memo(function FieldSidebar(props: FieldSidebarProps) {
  const { run, answer, columns, onFilter, onToggleColumn, onHide } = props;
  const t = useMessages();
  const { locale } = usePrefs();
  const [search, setSearch] = useState('');
  const [open, setOpen] = useState<string | null>(null);
  const [limit, setLimit] = useState(SHOWN_AT_ONCE);
  const known = (answer?.fields ?? []).filter(
    (field) => !field.name.startsWith('_') && field.name !== 'timestamp',
  );
  const fitting = known.filter((field) => matchesWords(field.name, search));
  const chosen = fitting.filter((field) => columns.includes(field.name));
  const others = fitting.filter((field) => !columns.includes(field.name));
  const item = (field: FieldInfo) => (
    <FieldItem
      key={field.name}
      field={field}
      share={answer?.rows ? field.count / answer.rows : 0}
      isOpen={open === field.name}
      isColumn={columns.includes(field.name)}
      run={run}
      onOpen={() => setOpen(open === field.name ? null : field.name)}
      onFilter={onFilter}
      onToggleColumn={onToggleColumn}
    />
  );
  return (
    <aside className="sidebar" aria-label={t.fields}>
      <div className="sidebar-head">
        <input
          className="input"
          type="search"
          value={search}
          placeholder={t.fieldsSearch}
          aria-label={t.fieldsSearch}
          onChange={(event) => setSearch(event.target.value)}
        />
        <IconButton icon="left" label={t.fieldsHide} onClick={onHide} />
      </div>
      <div className="sidebar-scroll" tabIndex={-1}>
        {chosen.length > 0 && <h2>{t.fieldsChosen}</h2>}
        {chosen.length > 0 && <ul>{chosen.map(item)}</ul>}
        <h2>
          {t.fieldsAll} <span className="count">{answer ? formatCount(others.length, locale) : ''}</span>
        </h2>
        <ul>{others.slice(0, limit).map(item)}</ul>
        {answer && fitting.length === 0 && <p className="hint">{t.fieldsNone}</p>}
        {others.length > limit && (
          <button type="button" className="button is-quiet" onClick={() => setLimit(limit + SHOWN_AT_ONCE)}>
            {t.fieldsMore(formatCount(Math.min(SHOWN_AT_ONCE, others.length - limit), locale))}
          </button>
        )}
        {answer?.sampled && <p className="hint">{t.fieldsSampled(formatCount(answer.rows, locale))}</p>}
      </div>
    </aside>
  );
});

interface FieldItemProps {
  field: FieldInfo;
  share: number;
  isOpen: boolean;
  isColumn: boolean;
  run: Run;
  onOpen: () => void;
  onFilter: (filter: Filter) => void;
  onToggleColumn: (column: string) => void;
}

function FieldItem({
  field,
  share,
  isOpen,
  isColumn,
  run,
  onOpen,
  onFilter,
  onToggleColumn,
}: FieldItemProps) {
  const t = useMessages();
  const type = field.types[0] ?? 'string';
  const shown = columnName(t, field.name);
  return (
    <li className={isOpen ? 'field is-open' : 'field'}>
      <div className="field-line">
        <button type="button" className="field-name" aria-expanded={isOpen} onClick={onOpen}>
          <Icon name={isOpen ? 'down' : 'right'} />
          <span className="field-type" title={field.types.join(', ')}>
            {TYPE_SIGNS[type] ?? '·'}
          </span>
          <span className="field-text" title={field.name}>
            {field.name}
          </span>
        </button>
        <IconButton
          icon={isColumn ? 'minus' : 'plus'}
          label={isColumn ? t.columnRemove(shown) : t.columnAdd(shown)}
          onClick={() => onToggleColumn(field.name)}
        />
      </div>
      {isOpen && <FieldValues run={run} field={field.name} share={share} onFilter={onFilter} />}
    </li>
  );
}
