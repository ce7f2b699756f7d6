/**
 * Draws the stacked bars over time and reports brushes and clicks.
 *
 * Owns: the uPlot instance, its size, colours of the theme, the tooltip.
 * Does not own: fetching, the range of the page.
 */
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { timeTicks } from '../time/axis';
import { formatCompact, formatCount, rangeLabel, type Locale } from '../time/format';
import type { TimeZone } from '../time/range';
import { cumulate, STACK_ORDER, type Stacks, type StackLevel } from './levels';

export interface PlotView {
  stacks: Stacks;
  intervalMs: number;
  startMs: number;
  endMs: number;
  zone: TimeZone;
  locale: Locale;
  levelLabel: (level: StackLevel) => string;
  totalLabel: string;
}

const HEIGHT_PX = 104;
/** A shorter drag is a click that slipped. */
const BRUSH_PX_MIN = 4;

export class HistogramPlot {
  private plot: uPlot | null = null;
  private view: PlotView | null = null;
  private readonly tooltip = document.createElement('div');
  private readonly observer: ResizeObserver;
  private pressedX = 0;

  constructor(
    private readonly root: HTMLElement,
    private readonly onBrush: (startMs: number, endMs: number) => void,
  ) {
    this.tooltip.className = 'histogram-tooltip';
    this.tooltip.hidden = true;
    this.observer = new ResizeObserver(() => {
      if (this.plot && root.clientWidth > 0)
        this.plot.setSize({ width: root.clientWidth, height: HEIGHT_PX });
    });
    this.observer.observe(root);
  }

  destroy(): void {
    this.observer.disconnect();
    this.plot?.destroy();
    this.tooltip.remove();
  }

  /** Draws another answer; also after a change of theme or language, which colours and labels follow. */
  show(view: PlotView): void {
    this.view = view;
    this.plot?.destroy();
    const columns = cumulate(view.stacks.counts).reverse();
    this.plot = new uPlot(this.options(), [view.stacks.starts, ...columns], this.root);
    this.plot.over.append(this.tooltip);
    this.plot.over.addEventListener('mousedown', (event) => (this.pressedX = event.clientX));
    this.plot.over.addEventListener('click', (event) => this.clicked(event));
    this.plot.over.addEventListener('mouseleave', () => (this.tooltip.hidden = true));
  }

  private options(): uPlot.Options {
    const style = getComputedStyle(this.root);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const bars = uPlot.paths.bars?.({ size: [0.86, 60], align: 1 });
    return {
      width: Math.max(this.root.clientWidth, 100),
      height: HEIGHT_PX,
      ms: 1,
      padding: [8, 8, 0, 0],
      legend: { show: false },
      scales: {
        x: { time: false, range: () => [this.view?.startMs ?? 0, this.view?.endMs ?? 1] },
        y: { range: (_u, _min, max) => [0, Math.max(max, 1) * 1.04] },
      },
      axes: [this.xAxis(color), this.yAxis(color)],
      series: [
        {},
        ...[...STACK_ORDER].reverse().map((level) => ({
          fill: color(`--level-${level}`),
          width: 0,
          points: { show: false },
          ...(bars ? { paths: bars } : {}),
        })),
      ],
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
      hooks: {
        setSelect: [(u) => this.selected(u)],
        setCursor: [(u) => this.hovered(u)],
      },
    };
  }

  private xAxis(color: (name: string) => string): uPlot.Axis {
    return {
      stroke: color('--text-muted'),
      font: `11px ${color('--font-ui')}`,
      size: 24,
      gap: 4,
      grid: { show: false },
      ticks: { stroke: color('--line'), size: 4, width: 1 },
      ...timeTicks(() => this.view),
    };
  }

  private yAxis(color: (name: string) => string): uPlot.Axis {
    return {
      stroke: color('--text-muted'),
      font: `11px ${color('--font-ui')}`,
      size: 46,
      gap: 4,
      space: 28,
      incrs: [1, 2, 5]
        .flatMap((n) => Array.from({ length: 10 }, (_, e) => n * 10 ** e))
        .sort((a, b) => a - b),
      grid: { stroke: color('--line-faint'), width: 1 },
      ticks: { show: false },
      values: (_u, splits) => splits.map((n) => formatCompact(n, this.view?.locale ?? 'en')),
    };
  }

  private selected(u: uPlot): void {
    const { left, width } = u.select;
    if (width >= BRUSH_PX_MIN) {
      const from = Math.round(u.posToVal(left, 'x'));
      const to = Math.round(u.posToVal(left + width, 'x'));
      if (to > from) this.onBrush(from, to);
    }
    if (width > 0) u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  }

  private clicked(event: MouseEvent): void {
    if (!this.view || !this.plot || Math.abs(event.clientX - this.pressedX) >= BRUSH_PX_MIN) return;
    const i = this.bucketAt(this.plot);
    const start = i === null ? undefined : this.view.stacks.starts[i];
    if (start === undefined || this.view.stacks.starts.length < 2) return;
    this.onBrush(start, start + this.view.intervalMs);
  }

  private bucketAt(u: uPlot): number | null {
    const left = u.cursor.left ?? -1;
    if (left < 0 || !this.view) return null;
    const at = u.posToVal(left, 'x');
    const { starts } = this.view.stacks;
    const first = starts[0];
    if (first === undefined) return null;
    // Days differ in length where clocks change, so look instead of dividing.
    let i = Math.min(starts.length - 1, Math.max(0, Math.floor((at - first) / this.view.intervalMs)));
    while (i > 0 && (starts[i] ?? 0) > at) i -= 1;
    while (i < starts.length - 1 && (starts[i + 1] ?? Infinity) <= at) i += 1;
    return i;
  }

  private hovered(u: uPlot): void {
    const i = this.bucketAt(u);
    this.tooltip.hidden = i === null;
    if (i === null || !this.view) return;
    const { stacks, intervalMs, zone, locale, levelLabel, totalLabel } = this.view;
    const start = stacks.starts[i] ?? 0;
    const title = document.createElement('div');
    title.className = 'histogram-tooltip-title';
    title.textContent = rangeLabel(start, start + intervalMs, zone, locale);
    const lines = STACK_ORDER.map((level, k) => ({ level, count: stacks.counts[k]?.[i] ?? 0 }))
      .filter(({ count }) => count > 0)
      .map(({ level, count }) =>
        tooltipLine(`level-${level}`, levelLabel(level), formatCount(count, locale)),
      );
    const total = tooltipLine('total', totalLabel, formatCount(stacks.totals[i] ?? 0, locale));
    this.tooltip.replaceChildren(title, ...lines, total);
    const left = u.cursor.left ?? 0;
    const room = u.over.clientWidth - this.tooltip.offsetWidth - 14;
    const x = left > room ? left - this.tooltip.offsetWidth - 14 : left + 14;
    this.tooltip.style.transform = `translate(${Math.round(x)}px, 0)`;
  }
}

function tooltipLine(className: string, label: string, count: string): HTMLElement {
  const line = document.createElement('div');
  line.className = `histogram-tooltip-line ${className}`;
  const name = document.createElement('span');
  name.textContent = label;
  const value = document.createElement('span');
  value.textContent = count;
  line.append(name, value);
  return line;
}
