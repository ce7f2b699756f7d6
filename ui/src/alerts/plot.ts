/**
 * Draws a rule's values over the past against its threshold.
 *
 * Owns: the uPlot instance, its size, colours of the theme. Does not own: the values.
 */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import type { Preview } from '../api/alerts';
import { timeTicks } from '../time/axis';
import { formatCompact, formatPercent, type Locale } from '../time/format';
import type { TimeZone } from '../time/range';

export interface PlotView {
  preview: Preview;
  isRatio: boolean;
  zone: TimeZone;
  locale: Locale;
}

const HEIGHT_PX = 180;
const COLORS = ['--level-info', '--level-warn', '--level-fatal', '--level-debug', '--ansi-6'];
/** The values do not touch the upper edge. */
const HEADROOM = 1.15;

export class PreviewPlot {
  private plot: uPlot | null = null;
  private readonly observer: ResizeObserver;

  constructor(private readonly root: HTMLElement) {
    this.observer = new ResizeObserver(() => {
      if (this.plot && root.clientWidth > 0)
        this.plot.setSize({ width: root.clientWidth, height: HEIGHT_PX });
    });
    this.observer.observe(root);
  }

  destroy(): void {
    this.observer.disconnect();
    this.plot?.destroy();
  }

  show(view: PlotView): void {
    this.plot?.destroy();
    const { times_ms: times, series } = view.preview;
    this.plot = new uPlot(this.options(view), [times, ...series.map((one) => one.values)], this.root);
  }

  private options(view: PlotView): uPlot.Options {
    const style = getComputedStyle(this.root);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const font = `11px ${color('--font-ui')}`;
    const value = (n: number) =>
      view.isRatio ? formatPercent(n, view.locale) : formatCompact(n, view.locale);
    const limit = view.preview.threshold;
    const axis = { stroke: color('--text-muted'), font, gap: 4 };
    return {
      width: Math.max(this.root.clientWidth, 100),
      height: HEIGHT_PX,
      ms: 1,
      padding: [8, 12, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false },
        y: {
          range: (_u, _min, max) => [0, Math.max(max ?? 0, limit ?? 0, view.isRatio ? 0.01 : 1) * HEADROOM],
        },
      },
      axes: [
        {
          ...axis,
          size: 26,
          grid: { show: false },
          ticks: { stroke: color('--line'), size: 4, width: 1 },
          ...timeTicks(() => view),
        },
        {
          ...axis,
          size: 52,
          grid: { stroke: color('--line-faint'), width: 1 },
          ticks: { show: false },
          values: (_u, splits) => splits.map(value),
        },
      ],
      series: [
        {},
        ...view.preview.series.map((_, at) => ({
          stroke: color(COLORS[at % COLORS.length] ?? '--level-info'),
          width: 1.5,
          points: { show: false },
          spanGaps: false,
        })),
      ],
      cursor: { show: false },
      hooks: {
        drawClear: [(u) => this.shade(u, view, color('--danger-soft'))],
        draw: [(u) => this.line(u, limit, color('--danger'))],
      },
    };
  }

  /** The spans in which it would have fired. */
  private shade(u: uPlot, view: PlotView, fill: string): void {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.fillStyle = fill;
    for (const { from, to } of view.preview.series.flatMap((one) => one.firing)) {
      const left = u.valToPos(Date.parse(from), 'x', true);
      const right = u.valToPos(Date.parse(to), 'x', true);
      ctx.fillRect(left, bbox.top, Math.max(right - left, 2), bbox.height);
    }
    ctx.restore();
  }

  private line(u: uPlot, limit: number | null, stroke: string): void {
    if (limit === null) return;
    const { ctx, bbox } = u;
    const y = u.valToPos(limit, 'y', true);
    ctx.save();
    ctx.strokeStyle = stroke;
    ctx.setLineDash([6, 4]);
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }
}
