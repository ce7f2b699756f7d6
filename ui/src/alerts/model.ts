/**
 * From what somebody typed in the editor to a rule, and back.
 *
 * Owns: the form's fields, their defaults, which settings they become.
 * Invariant: settings that the form does not show are kept when a rule is changed.
 */
import type { Rule, RuleSettings } from '../api/alerts';

export type Kind = 'count' | 'ratio' | 'absent';

export interface Draft {
  name: string;
  query: string;
  kind: Kind;
  /** With the sign: `>= 10`, `> 5%`. */
  threshold: string;
  base: string;
  groupBy: string;
  window: string;
  hold: string;
  severity: string;
  notify: string[];
  summary: string;
  enabled: boolean;
}

export const SEVERITIES = ['critical', 'error', 'warning', 'info'];
export const DEFAULT_THRESHOLD: Record<Kind, string> = { count: '>= 10', ratio: '> 5%', absent: '' };

/** A rule about a search, named after its first words. */
export function draftFrom(query: string): Draft {
  const name = query
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, '-')
    .replace(/^-+|-+$/g, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  return {
    name: name || 'all-records',
    query: query || '*',
    kind: 'count',
    threshold: DEFAULT_THRESHOLD.count,
    base: '',
    groupBy: '',
    window: '5m',
    hold: '0s',
    severity: 'warning',
    notify: [],
    summary: '',
    enabled: true,
  };
}

/** What the editor shows of a rule that there is. */
export function draftOf(rule: Rule): Draft {
  const settings = rule.settings ?? { query: '*' };
  const kind: Kind = settings.absent ? 'absent' : settings.ratio ? 'ratio' : 'count';
  return {
    name: rule.name,
    query: settings.query,
    kind,
    threshold: settings.count ?? settings.ratio ?? '',
    base: settings.base ?? '',
    groupBy: (settings.group_by ?? []).join(', '),
    window: settings.window ?? '5m',
    hold: settings.for ?? '0s',
    severity: settings.severity ?? 'warning',
    notify: settings.notify ?? [],
    summary: settings.summary ?? '',
    enabled: settings.enabled ?? true,
  };
}

/** The rule's settings; what the form does not show is taken from `before`. */
export function settingsOf(draft: Draft, before?: RuleSettings): RuleSettings {
  const words = draft.groupBy
    .split(',')
    .map((word) => word.trim())
    .filter(Boolean);
  const settings: RuleSettings = {
    ...before,
    query: draft.query,
    count: draft.kind === 'count' ? draft.threshold : null,
    ratio: draft.kind === 'ratio' ? draft.threshold : null,
    absent: draft.kind === 'absent',
    base: draft.kind === 'ratio' && draft.base.trim() ? draft.base : null,
    group_by: words,
    window: draft.window,
    for: draft.hold,
    severity: draft.severity,
    notify: draft.notify,
    summary: draft.summary.trim() ? draft.summary : null,
    enabled: draft.enabled,
  };
  return Object.fromEntries(
    Object.entries(settings).filter(([, value]) => value != null),
  ) as unknown as RuleSettings;
}

/** The matchers that hold for exactly the alerts with these labels. */
export function matchersOf(labels: Record<string, string>): string[] {
  return Object.entries(labels)
    .filter(([name]) => name !== 'severity')
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`);
}

/** `namespace=shop, pod=cart-1`, without what every alert has. */
export function labelsText(labels: Record<string, string>): string {
  return Object.entries(labels)
    .filter(([name]) => name !== 'severity' && name !== 'alertname')
    .map(([name, value]) => `${name}=${value || '∅'}`)
    .join(', ');
}
