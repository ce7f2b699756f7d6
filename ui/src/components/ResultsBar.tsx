import { exportUrl } from '../api/client';
import type { Stats } from '../api/types';
import { useMessages } from '../i18n';
import { setPrefs, usePrefs } from '../state/prefs';
import type { Run } from '../state/search';
import { navigate, type SearchState } from '../state/url';
import { formatBytes, formatCount, formatMs } from '../time/format';
import { Icon } from './Icon';
import { IconButton } from './IconButton';

export interface ResultsBarProps {
  state: SearchState;
  run: Run;
  loaded: number;
  total: number | null;
  stats: Stats | undefined;
}

/** The server streams everything that matches, and the browser writes it: this page holds none of it. */
function saveAll({ scope, order }: Run): void {
  const link = document.createElement('a');
  link.href = exportUrl(scope, order);
  link.download = `sawyer-${new Date().toISOString().slice(0, 19).replaceAll(':', '')}.ndjson`;
  link.click();
}

/** What was found, what it cost, and how it is shown. */
export function ResultsBar(props: ResultsBarProps) {
  const { state, run, loaded, total, stats } = props;
  const t = useMessages();
  return (
    <div className="resultsbar">
      <ShowSidebar />
      <ShowHistogram />
      <CostLine loaded={loaded} total={total} stats={stats} />
      <div className="spacer" />
      <button
        type="button"
        className="button is-quiet"
        title={t.sortChange}
        onClick={() => navigate({ order: state.order === 'asc' ? 'desc' : 'asc' })}
      >
        {state.order === 'asc' ? t.orderOldest : t.orderNewest}
      </button>
      <WrapToggle wrap={state.wrap} />
      <button
        type="button"
        className="button is-quiet"
        title={t.alertFromSearchHint}
        onClick={() => navigate({ room: 'alerts', rule: '' })}
      >
        {t.alertFromSearch}
      </button>
      <button
        type="button"
        className="button is-quiet"
        title={t.exportHint}
        aria-label={t.exportRows}
        disabled={loaded === 0}
        onClick={() => saveAll(run)}
      >
        <Icon name="download" />
        <span className="button-text">{t.exportRows}</span>
      </button>
    </div>
  );
}

export function ShowSidebar() {
  const t = useMessages();
  if (usePrefs().sidebar) return null;
  return <IconButton icon="panel" label={t.fieldsShow} onClick={() => setPrefs({ sidebar: true })} />;
}

function ShowHistogram() {
  const t = useMessages();
  if (usePrefs().histogram) return null;
  return <IconButton icon="bars" label={t.histogramShow} onClick={() => setPrefs({ histogram: true })} />;
}

export function WrapToggle({ wrap }: { wrap: boolean }) {
  const t = useMessages();
  const toggle = () => navigate({ wrap: !wrap }, { replace: true });
  return <IconButton icon="wrap" label={t.wrap} pressed={wrap} onClick={toggle} />;
}

interface CostLineProps {
  loaded: number;
  total: number | null;
  stats: Stats | undefined;
}

function CostLine({ loaded, total, stats }: CostLineProps) {
  const t = useMessages();
  const { locale } = usePrefs();
  const count = (n: number) => formatCount(n, locale);
  const parts: string[] = [];
  const details: string[] = [];
  if (total === null || total !== loaded) parts.push(t.recordsLoaded(count(loaded)));
  if (stats?.bytes_read !== undefined) parts.push(t.costRead(formatBytes(stats.bytes_read)));
  if (stats?.elapsed_ms !== undefined) parts.push(formatMs(stats.elapsed_ms));
  if (stats?.segments_read !== undefined) {
    details.push(t.costSegments(count(stats.segments_read), count(stats.segments_skipped ?? 0)));
  }
  return (
    <p className="cost" role="status">
      {total !== null && <b>{t.recordsMatched(count(total))}</b>}
      <span className="cost-more">{parts.join(' · ')}</span>
      {details.length > 0 && <span className="cost-detail">{details.join(' · ')}</span>}
      {stats?.partial && <span className="notice">{t.costPartial}</span>}
    </p>
  );
}
