import { Button, Dialog, DialogTrigger, Popover } from 'react-aria-components';
import { useMessages } from '../i18n';
import { setPrefs, usePrefs } from '../state/prefs';
import { Icon } from './Icon';
import { Segmented } from './Segmented';

/** What is the person's own: language, theme, row height. */
export function SettingsMenu() {
  const t = useMessages();
  const prefs = usePrefs();
  return (
    <DialogTrigger>
      <Button className="icon-button" aria-label={t.settings}>
        <Icon name="settings" />
      </Button>
      <Popover className="popover" placement="bottom end">
        <Dialog className="settings" aria-label={t.settings}>
          <Segmented
            label={t.language}
            value={prefs.locale}
            options={[
              ['en', 'English'],
              ['ko', '한국어'],
            ]}
            onChange={(locale) => setPrefs({ locale })}
          />
          <Segmented
            label={t.theme}
            value={prefs.theme}
            options={[
              ['system', t.themeSystem],
              ['light', t.themeLight],
              ['dark', t.themeDark],
            ]}
            onChange={(theme) => setPrefs({ theme })}
          />
          <Segmented
            label={t.timeZone}
            value={prefs.timeZone}
            options={[
              ['local', t.timeZoneLocal],
              ['utc', t.timeZoneUtc],
            ]}
            onChange={(timeZone) => setPrefs({ timeZone })}
          />
          <Segmented
            label={t.density}
            value={prefs.density}
            options={[
              ['compact', t.densityCompact],
              ['comfortable', t.densityComfortable],
            ]}
            onChange={(density) => setPrefs({ density })}
          />
        </Dialog>
      </Popover>
    </DialogTrigger>
  );
}
