import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { topValues } from '../api/client';
import type { FieldTopValue } from '../api/types';
import { useMessages } from '../i18n';
import { valueText } from '../list/cells';
import type { Filter } from '../query/filters';
import { usePrefs } from '../state/prefs';
import type { Run } from '../state/search';
import { formatCount, formatPercent } from '../time/format';
import { IconButton } from './IconButton';

export interface FieldValuesProps {
  run: Run;
  field: string;
  /** How many of the records have the field. */
  share: number;
  onFilter: (filter: Filter) => void;
}

const VALUE_COUNT = 10;

/** The ten most frequent values of a field, each with its share and a way to filter by it. */
export function FieldValues({ run, field, share, onFilter }: FieldValuesProps) {
  const t = useMessages();
  const { locale } = usePrefs();
  const { data, error } = useQuery({
    queryKey: ['values', field, run.key, run.scope],
    queryFn: ({ signal }) => topValues(run.scope, { field, limit: VALUE_COUNT }, signal),
    placeholderData: (previous, query) =>
      query?.queryKey[1] === field ? keepPreviousData(previous) : undefined,
  });
  if (error) return <p className="values-note is-error">{error.message}</p>;
  if (!data) return <p className="values-note">{t.loading}</p>;
  if (data.values.length === 0) return <p className="values-note">{t.valuesNone}</p>;
  const missing = data.rows > 0 ? data.missing / data.rows : 1 - share;
  return (
    <div className="values">
      <ul aria-label={`${t.valuesTop}: ${field}`}>
        {data.values.map((top) => (
          <ValueLine
            key={JSON.stringify(valueText(top.value))}
            field={field}
            top={top}
            share={data.rows > 0 ? top.count / data.rows : 0}
            onFilter={onFilter}
          />
        ))}
      </ul>
      <p className="values-note">
        {t.valuesDistinct(formatCount(data.distinct, locale))}
        {missing > 0 && ` · ${t.valuesMissing(formatPercent(missing, locale))}`}
        <IconButton
          icon="exists"
          label={t.filterExists(field)}
          onClick={() => onFilter({ field, value: null, negated: false })}
        />
      </p>
    </div>
  );
}

interface ValueLineProps {
  field: string;
  top: FieldTopValue;
  share: number;
  onFilter: (filter: Filter) => void;
}

function ValueLine({ field, top, share, onFilter }: ValueLineProps) {
  const t = useMessages();
  const { locale } = usePrefs();
  const text = valueText(top.value) || t.valueEmpty;
  const value =
    typeof top.value === 'number' || typeof top.value === 'boolean' ? top.value : valueText(top.value);
  const name = `${field}: ${text}`;
  return (
    <li className="value" title={`${text} (${formatCount(top.count, locale)})`}>
      <span className="value-bar" style={{ width: `${Math.max(share * 100, 1)}%` }} />
      <span className="value-text">{text}</span>
      <span className="value-share">{formatPercent(share, locale)}</span>
      <IconButton
        icon="plus"
        label={t.filterIn(name)}
        onClick={() => onFilter({ field, value, negated: false })}
      />
      <IconButton
        icon="minus"
        label={t.filterOut(name)}
        onClick={() => onFilter({ field, value, negated: true })}
      />
    </li>
  );
}
