import { I18nProvider } from 'react-aria-components';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { Help, useHelp } from './Help';
import { Icon } from './Icon';
import { IconButton } from './IconButton';
import { SearchPage } from './SearchPage';
import { SettingsMenu } from './SettingsMenu';

const RAC_LOCALES = { en: 'en-US', ko: 'ko-KR' } as const;

export function App() {
  const t = useMessages();
  const prefs = usePrefs();
  const help = useHelp();
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
          <h1 className="topbar-title">{t.search}</h1>
          <div className="spacer" />
          <IconButton icon="help" label={`${t.shortcuts} (?)`} onClick={help.open} />
          <SettingsMenu />
        </header>
        <SearchPage />
        {help.isOpen && <Help onClose={help.close} />}
      </div>
    </I18nProvider>
  );
}
