import { lazy, Suspense } from 'react';
import { I18nProvider } from 'react-aria-components';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { navigate, useUrlState, type Room } from '../state/url';
import { Help, useHelp } from './Help';
import { Icon } from './Icon';
import { IconButton } from './IconButton';
import { SearchPage } from './SearchPage';
import { SettingsMenu } from './SettingsMenu';

/** Rooms of chunks of their own: who searches does not wait for them. */
const AlertsRoom = lazy(() => import('../alerts/AlertsRoom'));
const PipelineRoom = lazy(() => import('../pipeline/PipelineRoom'));

const RAC_LOCALES = { en: 'en-US', ko: 'ko-KR' } as const;

export function App() {
  const t = useMessages();
  const prefs = usePrefs();
  const help = useHelp();
  const { room } = useUrlState();
  return (
    <I18nProvider locale={RAC_LOCALES[prefs.locale]}>
      <div className="app">
        <header className="topbar">
          <a className="brand" href={document.baseURI}>
            <span className="brand-mark">
              <Icon name="bars" />
            </span>
            {t.appName}
          </a>
          <h1 className="visually-hidden">{t[room]}</h1>
          <nav className="rooms" aria-label={t.rooms}>
            <RoomButton room="search" current={room} label={t.search} />
            <RoomButton room="alerts" current={room} label={t.alerts} />
            <RoomButton room="pipeline" current={room} label={t.pipeline} />
          </nav>
          <div className="spacer" />
          <IconButton icon="help" label={`${t.shortcuts} (?)`} onClick={help.open} />
          <SettingsMenu />
        </header>
        {room === 'search' ? (
          <SearchPage />
        ) : (
          <Suspense fallback={<main className="empty">{t.loading}</main>}>
            {room === 'alerts' ? <AlertsRoom /> : <PipelineRoom />}
          </Suspense>
        )}
        {help.isOpen && <Help onClose={help.close} />}
      </div>
    </I18nProvider>
  );
}

function RoomButton({ room, current, label }: { room: Room; current: Room; label: string }) {
  return (
    <button
      type="button"
      className="button is-quiet room"
      aria-current={room === current ? 'page' : undefined}
      onClick={() => navigate({ room, rule: null, live: false, record: null })}
    >
      {label}
    </button>
  );
}
