/** What belongs to the person and not to the search: language, theme, time zone, layout. Kept in the browser. */
import { useSyncExternalStore } from 'react';
import type { Locale } from '../time/format';
import type { TimeZone } from '../time/range';

export type Theme = 'system' | 'light' | 'dark';
export type Density = 'compact' | 'comfortable';

export interface Prefs {
  locale: Locale;
  theme: Theme;
  timeZone: TimeZone;
  density: Density;
  histogram: boolean;
  sidebar: boolean;
  columnWidths: Record<string, number>;
}

const STORAGE_KEY = 'sawyer.prefs';
const NARROW_PX = 900;

function defaults(): Prefs {
  return {
    locale: navigator.language.toLowerCase().startsWith('ko') ? 'ko' : 'en',
    theme: 'system',
    timeZone: 'local',
    density: 'compact',
    histogram: true,
    sidebar: window.innerWidth >= NARROW_PX,
    columnWidths: {},
  };
}

function load(): Prefs {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE_KEY) ?? '{}') as Partial<Prefs>;
    return { ...defaults(), ...stored };
  } catch {
    // Storage is blocked or holds something else: the page works without it.
    return defaults();
  }
}

let prefs: Prefs | null = null;
const listeners = new Set<() => void>();

export function getPrefs(): Prefs {
  prefs ??= load();
  return prefs;
}

export function setPrefs(patch: Partial<Prefs>): void {
  prefs = { ...getPrefs(), ...patch };
  try {
    localStorage.setItem(STORAGE_KEY, JSON.stringify(prefs));
  } catch {
    // See load().
  }
  applyToDocument();
  for (const listener of listeners) listener();
}

export function usePrefs(): Prefs {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, getPrefs);
}

const darkQuery = () => window.matchMedia('(prefers-color-scheme: dark)');

export function isDark(theme: Theme): boolean {
  return theme === 'system' ? darkQuery().matches : theme === 'dark';
}

/** Sets theme and language on the root element; called before the first paint. */
export function applyToDocument(): void {
  const { theme, locale } = getPrefs();
  document.documentElement.dataset.theme = isDark(theme) ? 'dark' : 'light';
  document.documentElement.lang = locale;
}

export function followSystemTheme(): void {
  darkQuery().addEventListener('change', () => {
    applyToDocument();
    // A new object, so that what is drawn by hand is drawn again.
    prefs = { ...getPrefs() };
    for (const listener of listeners) listener();
  });
}
