import { memo, useEffect, useMemo, useRef } from 'react';
import type { HistogramAnswer } from '../api/types';
import { STACK_ORDER, stackBuckets, type StackLevel } from '../histogram/levels';
import { HistogramPlot } from '../histogram/plot';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import type { Run } from '../state/search';
import { formatCount } from '../time/format';
import { IconButton } from './IconButton';

export interface HistogramProps {
  run: Run;
  answer: HistogramAnswer | undefined;
  isStale: boolean;
  canUndo: boolean;
  onBrush: (startMs: number, endMs: number) => void;
  onUndo: () => void;
  onZoomOut: () => void;
  onLevel: (word: string) => void;
  onHide: () => void;
}

export const Histogram = memo(function Histogram(props: HistogramProps) {
  const { run, answer, isStale, canUndo, onBrush, onUndo, onZoomOut, onLevel, onHide } = props;
  const t = useMessages();
  const prefs = usePrefs();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<HistogramPlot | null>(null);
  const brush = useRef(onBrush);
  const stacks = useMemo(() => (answer ? stackBuckets(answer.buckets) : null), [answer]);
  // Old bars stay on their own time axis until the new ones are there.
  const shownScope = useRef(run.scope);

  useEffect(() => {
    brush.current = onBrush;
  }, [onBrush]);

  useEffect(() => {
    if (!host.current) return;
    const created = new HistogramPlot(host.current, (start, end) => brush.current(start, end));
    plot.current = created;
    return () => created.destroy();
  }, []);

  useEffect(() => {
    if (!stacks || !answer) return;
    if (!isStale) shownScope.current = run.scope;
    const { startMs, endMs } = shownScope.current;
    plot.current?.show({
      stacks,
      intervalMs: answer.interval_ms,
      startMs,
      endMs,
      zone: prefs.timeZone,
      locale: prefs.locale,
      levelLabel: (level: StackLevel) => (level === 'none' ? t.levelOther : level),
      totalLabel: t.total,
    });
  }, [stacks, answer, isStale, run.scope, prefs, t]);

  const count = (n: number) => formatCount(n, prefs.locale);
  const summary = stacks ? t.histogramSummary(count(stacks.total), count(stacks.starts.length)) : t.loading;
  return (
    <section className="histogram" aria-label={t.histogram}>
      <div className="histogram-bar">
        <div className="histogram-legend">
          {stacks &&
            STACK_ORDER.filter((level) => stacks.sums[level] > 0 && level !== 'none').map((level) => (
              <button
                key={level}
                type="button"
                className={`legend-item level-${level}`}
                title={t.filterIn(level)}
                onClick={() => onLevel(stacks.words[level][0] ?? level)}
              >
                <span className="legend-name">{level}</span> {count(stacks.sums[level])}
              </button>
            ))}
          {stacks && stacks.sums.none > 0 && (
            <span className="legend-item level-none">
              <span className="legend-name">{t.levelOther}</span> {count(stacks.sums.none)}
            </span>
          )}
        </div>
        <span className="hint">
          {answer ? `${t.histogramPer(answer.interval)} · ` : ''}
          {t.histogramHint}
        </span>
        {canUndo && <IconButton icon="undo" label={t.zoomUndo} onClick={onUndo} />}
        <IconButton icon="zoomOut" label={t.zoomOut} onClick={onZoomOut} />
        <IconButton icon="up" label={t.histogramHide} onClick={onHide} />
      </div>
      <div
        className={isStale ? 'histogram-plot is-stale' : 'histogram-plot'}
        ref={host}
        role="img"
        aria-label={summary}
      />
    </section>
  );
});
