/**
 * The part of the REST API about alerts.
 *
 * Owns: requests and the form of answers. Does not own: what they mean (`docs/alerts.md`).
 */
import { request } from './client';

export type RuleState = 'ok' | 'pending' | 'firing' | 'no_data' | 'error' | 'broken' | 'off';

export interface AlertSample {
  time: string;
  origin: string;
  text: string;
}

export interface Alert {
  fingerprint: string;
  rule: string;
  labels: Record<string, string>;
  state: 'pending' | 'firing' | 'resolved';
  since: string;
  silenced_by: string[];
  summary: string;
  value_text: string;
  threshold: string;
  query: string;
  from: string;
  to: string;
  samples: AlertSample[];
}

export interface RuleSettings {
  query: string;
  count?: string | null;
  ratio?: string | null;
  absent?: boolean;
  base?: string | null;
  group_by?: string[];
  window?: string;
  interval?: string;
  for?: string;
  severity?: string;
  summary?: string | null;
  notify?: string[];
  enabled?: boolean;
}

export interface Rule {
  name: string;
  origin: 'file' | 'api';
  state: RuleState;
  problem: string | null;
  text: string | null;
  kind?: 'count' | 'ratio' | 'absent';
  threshold?: string;
  settings?: RuleSettings;
  alerts: Alert[];
  evaluation: {
    at: string | null;
    value: number | null;
    value_text: string;
    groups_left_out: number;
    error: string | null;
    took_ms: number;
    missed: number;
  };
}

export interface Silence {
  id: string;
  state: 'active' | 'pending' | 'expired';
  matchers: string[];
  starts: string;
  ends: string;
  comment: string;
  author: string;
  alerts: number;
}

export interface Past {
  id: string;
  notifier: string;
  status: 'firing' | 'resolved';
  repeated: boolean;
  test: boolean;
  rules: string[];
  alerts: number;
  summary: string;
  created: string;
  settled: string | null;
  outcome: 'delivered' | 'rejected' | 'dropped' | 'waiting';
  reason: string | null;
}

export interface Notifier {
  name: string;
  type: string;
  waiting: number;
  failures: number;
  last_success: string | null;
  last_error: { at: string; message: string } | null;
}

export interface PreviewSeries {
  labels: Record<string, string>;
  values: (number | null)[];
  firing: { from: string; to: string }[];
}

export interface Preview {
  step: string;
  threshold: number | null;
  times_ms: number[];
  series: PreviewSeries[];
  groups_left_out: number;
}

const rulePath = (name: string) => `alerts/rules/${encodeURIComponent(name)}`;

export const listRules = (signal?: AbortSignal) =>
  request<{ rules: Rule[] }>('GET', 'alerts/rules', null, signal);

export const listSilences = (signal?: AbortSignal) =>
  request<{ silences: Silence[] }>('GET', 'alerts/silences', null, signal);

export const listHistory = (signal?: AbortSignal) =>
  request<{ waiting: Past[]; history: Past[] }>('GET', 'alerts/history?limit=200', null, signal);

export const listNotifiers = (signal?: AbortSignal) =>
  request<{ notifiers: Notifier[] }>('GET', 'alerts/notifiers', null, signal);

/** Makes a rule, or changes one; `isNew` refuses to change one. */
export const putRule = (name: string, settings: RuleSettings, isNew: boolean) =>
  request<{ rule: Rule }>(isNew ? 'POST' : 'PUT', rulePath(name), settings);

export const removeRule = (name: string) => request<null>('DELETE', rulePath(name));

export const previewRule = (settings: RuleSettings, over: string, signal?: AbortSignal) =>
  request<Preview>('POST', `alerts/preview?over=${over}`, settings, signal);

export const addSilence = (matchers: string[], length: string, comment: string) =>
  request<{ id: string }>('POST', 'alerts/silences', { matchers, for: length, comment });

export const expireSilence = (id: string) =>
  request<null>('DELETE', `alerts/silences/${encodeURIComponent(id)}`);

export const testNotifier = (name: string) =>
  request<{ result: Past | null; last_error?: string | null }>(
    'POST',
    `alerts/notifiers/${encodeURIComponent(name)}/test`,
  );
