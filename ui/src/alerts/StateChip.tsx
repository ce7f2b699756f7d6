import type { RuleState } from '../api/alerts';
import { useMessages } from '../i18n';

/** A state in a word and a colour. */
export function StateChip({ state }: { state: RuleState }) {
  const t = useMessages();
  const words: Record<RuleState, string> = {
    ok: t.alertStateOk,
    pending: t.alertStatePending,
    firing: t.alertStateFiring,
    no_data: t.alertStateNoData,
    error: t.alertStateError,
    broken: t.alertStateBroken,
    off: t.alertStateOff,
  };
  return <span className={`state-chip is-${state}`}>{words[state]}</span>;
}
