import { useMessages } from '../i18n';
import type { Filter } from '../query/filters';
import { Icon } from './Icon';
import { IconButton } from './IconButton';

export interface FilterPillsProps {
  filters: readonly Filter[];
  onChange: (filters: Filter[]) => void;
}

/** The active filters; a click on one turns it into its opposite. */
export function FilterPills({ filters, onChange }: FilterPillsProps) {
  const t = useMessages();
  if (filters.length === 0) return null;
  return (
    <ul className="pills" aria-label={t.filters}>
      {filters.map((filter, i) => {
        const value = filter.value === null ? t.filterPresent : String(filter.value) || t.valueEmpty;
        const text = `${filter.field}: ${value}`;
        const invert = () =>
          onChange(filters.map((other, k) => (k === i ? { ...filter, negated: !filter.negated } : other)));
        return (
          <li
            key={`${filter.field}:${String(filter.value)}`}
            className={filter.negated ? 'pill is-not' : 'pill'}
          >
            <button
              type="button"
              className="pill-text"
              onClick={invert}
              title={t.filterInvert(text)}
              aria-label={t.filterInvert(text)}
            >
              {filter.negated && <b>{t.filterNot}</b>}
              <span className="pill-field">{filter.field}:</span>
              <span className="pill-value">{value}</span>
            </button>
            <IconButton
              icon="close"
              label={t.filterRemove(text)}
              onClick={() => onChange(filters.filter((_, k) => k !== i))}
            />
          </li>
        );
      })}
      {filters.length > 1 && (
        <li>
          <button type="button" className="button is-quiet" onClick={() => onChange([])}>
            <Icon name="close" />
            {t.filtersClear}
          </button>
        </li>
      )}
    </ul>
  );
}
