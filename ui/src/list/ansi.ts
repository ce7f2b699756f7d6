/** Reads ANSI colour sequences of terminal output: text runs with a class, everything else dropped. */
export interface Run {
  text: string;
  /** Space-separated classes such as `ansi-1 ansi-bold`, or empty. */
  className: string;
}

/* Escape sequences are control characters by definition. */
// eslint-disable-next-line no-control-regex
const SEQUENCE = /\u001b(?:\[([0-9;:]*)([A-Za-z])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g;

interface Style {
  color: number | null;
  background: number | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
}

const PLAIN: Style = {
  color: null,
  background: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
};

export const hasAnsi = (text: string): boolean => text.includes('\u001b');

export function stripAnsi(text: string): string {
  return hasAnsi(text) ? text.replace(SEQUENCE, '') : text;
}

export function ansiRuns(text: string): Run[] {
  const runs: Run[] = [];
  let style = PLAIN;
  let at = 0;
  const push = (end: number) => {
    if (end > at) runs.push({ text: text.slice(at, end), className: classOf(style) });
  };
  for (const match of text.matchAll(SEQUENCE)) {
    push(match.index);
    at = match.index + match[0].length;
    if (match[2] === 'm') style = apply(style, match[1] ?? '');
  }
  push(text.length);
  return runs;
}

function apply(before: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map(Number);
  let style = { ...before };
  for (let i = 0; i < codes.length; i += 1) {
    const code = codes[i] ?? 0;
    if (code === 38 || code === 48) {
      const indexed = codes[i + 1] === 5;
      const color = indexed && (codes[i + 2] ?? 16) < 16 ? (codes[i + 2] ?? null) : null;
      if (code === 38) style.color = color;
      else style.background = color;
      i += indexed ? 2 : 4;
    } else style = applyOne(style, code);
  }
  return style;
}

function applyOne(style: Style, code: number): Style {
  if (code === 0) return { ...PLAIN };
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if (code === 3) return { ...style, italic: true };
  if (code === 4) return { ...style, underline: true };
  if (code === 22) return { ...style, bold: false, dim: false };
  if (code === 23) return { ...style, italic: false };
  if (code === 24) return { ...style, underline: false };
  if (code >= 30 && code <= 37) return { ...style, color: code - 30 };
  if (code === 39) return { ...style, color: null };
  if (code >= 40 && code <= 47) return { ...style, background: code - 40 };
  if (code === 49) return { ...style, background: null };
  if (code >= 90 && code <= 97) return { ...style, color: code - 82 };
  if (code >= 100 && code <= 107) return { ...style, background: code - 92 };
  return style;
}

function classOf(style: Style): string {
  const names: string[] = [];
  if (style.color !== null) names.push(`ansi-${style.color}`);
  if (style.background !== null) names.push(`ansi-bg-${style.background}`);
  if (style.bold) names.push('ansi-bold');
  if (style.dim) names.push('ansi-dim');
  if (style.italic) names.push('ansi-italic');
  if (style.underline) names.push('ansi-underline');
  return names.join(' ');
}
