import { useEffect, useRef } from 'react';
import type { Preview } from '../api/alerts';
import { useMessages } from '../i18n';
import { isDark, usePrefs } from '../state/prefs';
import { rangeLabel } from '../time/format';
import { labelsText } from './model';
import { PreviewPlot } from './plot';

/** Spans told in words; the plot shows all of them. */
const SPANS_MAX = 5;

/** A rule's values over the past, drawn, and in words for those who do not see the drawing. */
export function PreviewView({ preview, isRatio }: { preview: Preview; isRatio: boolean }) {
  const t = useMessages();
  const { locale, timeZone, theme } = usePrefs();
  const root = useRef<HTMLDivElement | null>(null);
  const dark = isDark(theme);
  useEffect(() => {
    if (!root.current) return;
    const plot = new PreviewPlot(root.current);
    plot.show({ preview, isRatio, zone: timeZone, locale });
    return () => plot.destroy();
  }, [preview, isRatio, timeZone, locale, dark]);
  const spans = preview.series.flatMap((series) =>
    series.firing.map(({ from, to }) => ({ labels: labelsText(series.labels), from, to })),
  );
  return (
    <>
      <div className="preview-plot" ref={root} role="img" aria-label={t.previewPlot} />
      <p>{spans.length === 0 ? t.previewNever : t.previewTimes(spans.length)}</p>
      <ul className="hint">
        {spans.slice(-SPANS_MAX).map((span) => (
          <li key={`${span.labels} ${span.from}`}>
            {rangeLabel(Date.parse(span.from), Date.parse(span.to), timeZone, locale)} {span.labels}
          </li>
        ))}
      </ul>
      {preview.groups_left_out > 0 && (
        <p className="hint">
          {t.previewLeftOut(String(preview.series.length), String(preview.groups_left_out))}
        </p>
      )}
    </>
  );
}
