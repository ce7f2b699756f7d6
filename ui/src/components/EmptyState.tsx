import { ApiError } from '../api/client';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { useEmptiness, type Run } from '../state/search';
import { formatCount, shortDateTime } from '../time/format';
import { absoluteRange, type TimeRange } from '../time/range';

export interface EmptyStateProps {
  run: Run;
  hasFilters: boolean;
  onRange: (range: TimeRange) => void;
  onClearFilters: () => void;
}

/** A jump to the newest record shows this much before it. */
const JUMP_BEFORE_MS = 30 * 60_000;
const JUMP_AFTER_MS = 60_000;

/** Says why there is nothing, and offers the next step. */
export function EmptyState({ run, hasFilters, onRange, onClearFilters }: EmptyStateProps) {
  const t = useMessages();
  const { locale, timeZone } = usePrefs();
  const { data, error } = useEmptiness(run, true);
  if (error) return <Failure error={error} />;
  if (!data) return <div className="empty">{t.loading}</div>;
  if (data.kind === 'store') {
    return (
      <div className="empty" data-kind="store">
        <h2>{t.emptyStoreTitle}</h2>
        <p>{t.emptyStoreText}</p>
      </div>
    );
  }
  if (data.kind === 'range') {
    const at = Date.parse(data.newest);
    return (
      <div className="empty" data-kind="range">
        <h2>{t.emptyRangeTitle}</h2>
        <p>{t.emptyRangeText}</p>
        <button
          type="button"
          className="button"
          onClick={() => onRange(absoluteRange(at - JUMP_BEFORE_MS, at + JUMP_AFTER_MS))}
        >
          {t.emptyRangeNewest(shortDateTime(at, timeZone, locale))}
        </button>
      </div>
    );
  }
  return (
    <div className="empty" data-kind="filter">
      <h2>{t.emptyFilterTitle}</h2>
      <p>{t.emptyFilterText(formatCount(data.inRange, locale))}</p>
      {data.missing.map(({ name, near }) => (
        <p key={name}>
          {t.emptyNoField(name)} {near && t.emptyNearField(near)}
        </p>
      ))}
      {hasFilters && (
        <button type="button" className="button" onClick={onClearFilters}>
          {t.filtersClear}
        </button>
      )}
    </div>
  );
}

/** An error in place of rows; a query at fault is shown under the query instead. */
export function Failure({ error, onRetry }: { error: Error; onRetry?: () => void }) {
  const t = useMessages();
  return (
    <div className="empty is-error" role="alert" data-kind="error">
      <h2>{t.errorTitle}</h2>
      <p>{error instanceof ApiError ? error.message : t.errorNetwork}</p>
      {onRetry && (
        <button type="button" className="button" onClick={onRetry}>
          {t.retry}
        </button>
      )}
    </div>
  );
}
