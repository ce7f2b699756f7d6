import { memo, useEffect, useRef, useState, type RefObject } from 'react';
import { LiveTail, type TailStatus } from '../api/tail';
import type { LogRecord } from '../api/types';
import { useMessages } from '../i18n';
import type { LogList } from '../list/log-list';
import { usePrefs } from '../state/prefs';
import { formatCount } from '../time/format';
import { Icon } from './Icon';
import { ShowSidebar, WrapToggle } from './ResultsBar';
import { useLogList, type ListView } from './LogView';

export interface LiveViewProps extends ListView {
  query: string;
  handle: RefObject<LogList | null>;
}

/** Older rows of the live view make room for new ones. */
const ROWS_MAX = 10_000;

interface Shown {
  status: TailStatus;
  waiting: number;
  skipped: number;
  count: number;
  error: string | null;
}

const NOTHING: Shown = { status: 'connecting', waiting: 0, skipped: 0, count: 0, error: null };

/** New records as they arrive, newest at the bottom; scrolling up pauses the view and loses nothing. */
export const LiveView = memo(function LiveView(props: LiveViewProps) {
  const { query, handle } = props;
  const t = useMessages();
  const { locale } = usePrefs();
  const host = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const held = useRef<LogRecord[]>([]);
  const [shown, setShown] = useState(NOTHING);
  const [isFollowing, setFollowing] = useState(true);

  const resume = () => {
    const waiting = held.current;
    held.current = [];
    following.current = true;
    setFollowing(true);
    handle.current?.append(waiting, ROWS_MAX, true);
    setShown((now) => ({ ...now, waiting: 0, count: handle.current?.length ?? 0 }));
  };
  useLogList(host, handle, props, {
    onNearEnd: () => {},
    onBottom: (atBottom) => {
      following.current = atBottom && held.current.length === 0;
      setFollowing(following.current);
    },
  });

  useEffect(() => {
    const list = handle.current;
    list?.setRows([], false);
    held.current = [];
    following.current = true;
    setFollowing(true);
    setShown(NOTHING);
    const tail = new LiveTail(query, {
      onRecords(records) {
        if (following.current) list?.append(records, ROWS_MAX, true);
        else held.current = [...held.current, ...records].slice(-ROWS_MAX);
        setShown((now) => ({ ...now, waiting: held.current.length, count: list?.length ?? 0, error: null }));
      },
      onSkipped: (count) => setShown((now) => ({ ...now, skipped: now.skipped + count })),
      onStatus: (status) => setShown((now) => ({ ...now, status })),
      onError: (error) => setShown((now) => ({ ...now, error })),
    });
    tail.start();
    return () => tail.stop();
  }, [handle, query]);

  const count = (n: number) => formatCount(n, locale);
  const states = {
    connecting: t.liveConnecting,
    open: isFollowing ? t.liveOpen : t.livePaused,
    waiting: t.liveWaiting,
    refused: t.liveRefused,
  };
  return (
    <>
      <div className="resultsbar">
        <ShowSidebar />
        <p className="live-status" role="status">
          <span
            className={`live-dot is-${shown.status === 'open' && !isFollowing ? 'paused' : shown.status}`}
          />
          {states[shown.status]} · {t.recordsLoaded(count(shown.count))}
          {shown.skipped > 0 && <span className="notice">{t.liveSkipped(count(shown.skipped))}</span>}
          {shown.error && <span className="notice is-error">{shown.error}</span>}
        </p>
        <div className="spacer" />
        <WrapToggle wrap={props.wrap} />
      </div>
      <div className="live-room">
        <div ref={host} />
        {shown.count === 0 && shown.status !== 'refused' && <p className="live-empty">{t.liveEmpty}</p>}
        {!isFollowing && (
          <button
            type="button"
            className="button is-primary live-resume"
            onClick={resume}
            title={t.liveResume}
          >
            <Icon name="down" />
            {shown.waiting > 0 ? t.liveNew(count(shown.waiting)) : t.liveResume}
          </button>
        )}
      </div>
    </>
  );
});
