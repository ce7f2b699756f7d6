/** The texts of the chosen language. */
import { usePrefs } from '../state/prefs';
import type { Locale } from '../time/format';
import { en, type Messages } from './en';
import { ko } from './ko';

const BY_LOCALE: Record<Locale, Messages> = { en, ko };

export const messagesOf = (locale: Locale): Messages => BY_LOCALE[locale];

export function useMessages(): Messages {
  return messagesOf(usePrefs().locale);
}

/** Names of columns that have one in people's language; others keep the field's own name. */
export function columnName(t: Messages, column: string): string {
  switch (column) {
    case 'timestamp':
      return t.columnTime;
    case 'level':
      return t.columnLevel;
    case '_origin':
      return t.columnOrigin;
    case 'message':
      return t.columnMessage;
    default:
      return column;
  }
}
